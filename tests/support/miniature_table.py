"""Every data set in small, with what a reader must find in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from miniatures import (
    ANIMALS,
    ART,
    CAMERA_TRAPS,
    CAMERAS,
    COLLECTIONS,
    DOMAINS,
    FIVE,
    HOME,
    IDS,
    OFFICE,
    ROOMS,
    SEVEN,
    TEN,
    aircraft,
    by_domain,
    caltech,
    caltech_zhou,
    cars,
    cars_zhou,
    cifar10,
    cifar10_folders,
    cifar100,
    domainnet,
    domainnet_of_fedbn,
    dtd,
    eurosat,
    eurosat_zhou,
    flowers,
    flowers_zhou,
    food,
    imagenet,
    imagenet_coop,
    of_fedbn,
    office_folders,
    office_home_dassl,
    pacs_kfold,
    pets,
    pets_zhou,
    renditions,
    sun,
    tiny,
    tiny_sorted,
    ucf,
    v2,
    vlcs_dassl,
)
from pictures import class_tree

from fplbench.data.splits import OFFICIAL, OURS, ZHOU


@dataclass(frozen=True)
class Small:
    """A miniature. names: class names in order; train, test: how many images of each class.

    kind: whose split it is. domains: of a domain data set, both counts are over all of them.
    """

    dataset: str
    layout: str
    build: Callable[[Path], None]
    names: Sequence[str]
    train: Sequence[int]
    test: Sequence[int]
    kind: str = OFFICIAL
    domains: Sequence[str] = ()

    def __str__(self) -> str:
        return f"{self.dataset}-{self.layout}"


PETS = ("abyssinian", "american bulldog")
AIRPORT = ("abbey", "outdoor apartment building")
FLOWERS = ("pink primrose", "hard-leaved pocket orchid")
THINGS = ("tench", "goldfish", "tandem bicycle")
SPACED = tuple(name.replace("_", " ") for name in TEN)
DESK = tuple(name.replace("_", " ") for name in OFFICE)

MINIATURES = (
    Small("cifar10", "torchvision", cifar10, ("airplane", "automobile"), (5, 5), (1, 2)),
    Small("cifar10", "folders", cifar10_folders, ("airplane", "automobile"), (3, 2), (1, 2)),
    Small("cifar100", "torchvision", cifar100, ("apple", "aquarium fish"), (2, 2), (1, 1)),
    Small(
        "oxford_pets", "torchvision", lambda r: pets(r / "oxford-iiit-pet"), PETS, (3, 1), (2, 2)
    ),
    Small("oxford_pets", "CoOp", pets_zhou, PETS, (1, 1), (1, 1), ZHOU),
    Small(
        "flowers102",
        "torchvision",
        lambda r: flowers(r / "flowers-102"),
        FLOWERS,
        (1, 1),
        (1, 1),
    ),
    Small(
        "flowers102",
        "CoOp",
        flowers_zhou,
        ("globe flower", "pink and yellow dahlia"),
        (1, 1),
        (1, 1),
        ZHOU,
    ),
    Small(
        "flowers102",
        "CoOp-without-split",
        lambda r: flowers(r / "oxford_flowers", setid=False),
        FLOWERS,
        (1, 1),
        (1, 1),
        OURS,
    ),
    Small(
        "dtd",
        "torchvision",
        lambda r: dtd(r / "dtd" / "dtd"),
        ("banded", "polka-dotted"),
        (2, 2),
        (2, 2),
    ),
    Small("dtd", "CoOp", lambda r: dtd(r / "dtd"), ("banded", "polka-dotted"), (2, 2), (2, 2)),
    Small(
        "caltech101",
        "torchvision",
        lambda r: caltech(r / "caltech101"),
        ("face", "airplane", "wild cat"),
        (3, 3, 1),
        (1, 2, 1),
        OURS,
    ),
    Small("caltech101", "CoOp", caltech_zhou, ("face", "wild cat"), (1, 1), (1, 1), ZHOU),
    Small("food101", "torchvision", food, ("apple pie", "waffles"), (3, 3), (2, 2)),
    Small(
        "domainnet",
        "official-lists",
        lambda r: domainnet(r / "DomainNet", r / "DomainNet"),
        SPACED,
        (12,) * 10,
        (6,) * 10,
        domains=DOMAINS,
    ),
    Small(
        "domainnet",
        "splits",
        lambda r: domainnet(r / "domainnet", r / "domainnet" / "splits"),
        SPACED,
        (12,) * 10,
        (6,) * 10,
        domains=DOMAINS,
    ),
    Small(
        "domainnet",
        "FedBN",
        lambda r: of_fedbn(r / "DomainNet", DOMAINS, TEN),
        SPACED,
        (12,) * 10,
        (6,) * 10,
        domains=DOMAINS,
    ),
    Small(
        "office_caltech10",
        "FedBN",
        lambda r: of_fedbn(r / "office_caltech_10", CAMERAS, OFFICE),
        DESK,
        (8,) * 10,
        (4,) * 10,
        domains=CAMERAS,
    ),
    Small(
        "office_caltech10",
        "folders",
        office_folders,
        DESK,
        (8,) * 10,
        (4,) * 10,
        OURS,
        domains=CAMERAS,
    ),
    Small(
        "domainnet_full",
        "official-lists",
        domainnet_of_fedbn,
        ("airplane", *SPACED),
        (12,) * 11,
        (6,) * 11,
        domains=DOMAINS,
    ),
    Small(
        "domainnet_full",
        "DomainBed",
        lambda r: by_domain(r / "domain_net", DOMAINS, TEN),
        SPACED,
        (12,) * 10,
        (6,) * 10,
        OURS,
        domains=DOMAINS,
    ),
    Small(
        "pacs",
        "DomainBed",
        lambda r: by_domain(r / "PACS", ART, SEVEN),
        SEVEN,
        (8,) * 7,
        (4,) * 7,
        OURS,
        domains=ART,
    ),
    Small("pacs", "Dassl", pacs_kfold, SEVEN, (8,) * 7, (4,) * 7, domains=ART),
    Small(
        "vlcs",
        "DomainBed",
        lambda r: by_domain(r / "VLCS", COLLECTIONS, FIVE),
        FIVE,
        (8,) * 5,
        (4,) * 5,
        OURS,
        domains=COLLECTIONS,
    ),
    Small("vlcs", "Dassl", vlcs_dassl, FIVE, (8,) * 5, (4,) * 5, domains=COLLECTIONS),
    *(
        Small(
            "office_home",
            layout,
            lambda r, folder=folder, names=names: by_domain(r / folder, names, HOME),
            ("Alarm Clock", "Table", "ToothBrush", "TV"),
            (8,) * 4,
            (4,) * 4,
            OURS,
            domains=ROOMS,
        )
        for layout, folder, names in (
            ("original", "OfficeHomeDataset_10072016", ("Art", "Clipart", "Product", "Real World")),
            ("DomainBed", "office_home", ("Art", "Clipart", "Product", "Real")),
            ("Dassl-DA", "office_home", ROOMS),
        )
    ),
    Small(
        "office_home",
        "Dassl-DG",
        office_home_dassl,
        ("alarm clock", "table", "toothbrush", "tv"),
        (8,) * 4,
        (4,) * 4,
        domains=ROOMS,
    ),
    Small(
        "terra_incognita",
        "DomainBed",
        lambda r: by_domain(r / "terra_incognita", CAMERA_TRAPS, ANIMALS),
        ANIMALS,
        (8,) * 10,
        (4,) * 10,
        OURS,
        domains=CAMERA_TRAPS,
    ),
    Small(
        "eurosat",
        "torchvision",
        eurosat,
        ("Annual Crop Land", "Forest", "Sea or Lake"),
        (3, 2, 7),
        (1, 1, 3),
        OURS,
    ),
    Small(
        "eurosat", "CoOp", eurosat_zhou, ("Annual Crop Land", "Sea or Lake"), (1, 1), (1, 1), ZHOU
    ),
    Small(
        "fgvc_aircraft",
        "torchvision",
        lambda r: aircraft(r / "fgvc-aircraft-2013b" / "data"),
        ("707-320", "F-16A/B"),
        (1, 1),
        (1, 1),
    ),
    Small(
        "fgvc_aircraft",
        "CoOp",
        lambda r: aircraft(r / "fgvc_aircraft"),
        ("707-320", "F-16A/B"),
        (1, 1),
        (1, 1),
    ),
    Small(
        "stanford_cars",
        "torchvision",
        cars,
        ("2000 AM General Hummer SUV", "2012 Acura RL Sedan"),
        (1, 2),
        (1, 1),
    ),
    Small("stanford_cars", "CoOp", cars_zhou, ("2012 Acura RL Sedan",), (1,), (1,), ZHOU),
    Small(
        "sun397",
        "CoOp",
        lambda r: sun(r / "sun397" / "SUN397", r / "sun397", True),
        AIRPORT,
        (2, 2),
        (1, 1),
    ),
    Small(
        "sun397",
        "torchvision",
        lambda r: sun(r / "SUN397", r / "SUN397", False),
        AIRPORT,
        (3, 3),
        (1, 1),
        OURS,
    ),
    Small("ucf101", "CoOp", lambda r: ucf(r, True), ("Apply Eye Makeup", "Yo Yo"), (2, 2), (1, 1)),
    Small(
        "ucf101",
        "frames-alone",
        lambda r: ucf(r, False),
        ("Apply Eye Makeup", "Yo Yo"),
        (2, 2),
        (1, 1),
        OURS,
    ),
    Small(
        "imagenet", "torchvision", lambda r: imagenet(r / "imagenet"), THINGS, (3, 3, 3), (2, 2, 2)
    ),
    Small(
        "imagenet",
        "CoOp",
        imagenet_coop,
        ("the 0th thing", "the 1th thing", "the 2th thing"),
        (3, 3, 3),
        (2, 2, 2),
    ),
    Small(
        "imagenet_v2", "alone", v2, ("tench", "goldfish", "brambling"), (3, 3, 3), (1, 1, 1), OURS
    ),
    Small(
        "imagenet_sketch",
        "alone",
        lambda r: class_tree(r / "imagenet-sketch" / "images", dict.fromkeys(IDS, 4)),
        THINGS,
        (3, 3, 3),
        (1, 1, 1),
        OURS,
    ),
    Small(
        "imagenet_a",
        "alone",
        lambda r: class_tree(r / "imagenet-a", dict.fromkeys(IDS, 4)),
        THINGS,
        (3, 3, 3),
        (1, 1, 1),
        OURS,
    ),
    Small("imagenet_r", "beside-ImageNet", renditions, THINGS[1:], (3, 3), (2, 2)),
    Small("tiny_imagenet", "torchvision", tiny, ("goldfish", "lamp"), (3, 3), (2, 1)),
    Small("tiny_imagenet", "sorted", tiny_sorted, THINGS[:2], (2, 2), (1, 1)),
)
