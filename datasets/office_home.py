"""OfficeHome: 65 things of offices and homes in four domains."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from fplbench.data.domain_lists import read_folders
from fplbench.data.on_disk import Layout, OnDisk
from fplbench.data.splits import Contents

DOMAINS = ("art", "clipart", "product", "real_world")
ORIGINAL = dict(zip(("Art", "Clipart", "Product", "Real World"), DOMAINS, strict=True))
# As it is in the archive that DomainBed fetches.
DOMAINBED = dict(zip(("Art", "Clipart", "Product", "Real"), DOMAINS, strict=True))
UNDERLINED = dict(zip(("Art", "Clipart", "Product", "Real_World"), DOMAINS, strict=True))
DASSL = {name: name for name in DOMAINS}
PARTS = ("train", "val")


def read(folder: Path) -> Contents:
    known = (ORIGINAL, DOMAINBED, UNDERLINED, DASSL)
    return read_folders(
        folder, next(names for names in known if all((folder / name).is_dir() for name in names))
    )


def read_dassl_dg(folder: Path) -> Contents:
    return read_folders(folder, DASSL, PARTS)


class OfficeHome(OnDisk):
    name: ClassVar = "office_home"
    title: ClassVar = "OfficeHome"
    summary: ClassVar = "65 classes in 4 domains: art, clipart, product, real world"
    default_scenario: ClassVar = "domains"
    source: ClassVar = (
        "Venkateswara et al., Deep Hashing Network for Unsupervised Domain Adaptation, CVPR 2017; "
        "https://www.hemanthdv.org/officeHomeDataset.html"
    )
    licence: ClassVar = "for non-commercial research and education only"
    classes: ClassVar = 65
    images: ClassVar = 15_588
    domain_images: ClassVar = {
        "art": 2_427,
        "clipart": 4_365,
        "product": 4_439,
        "real_world": 4_357,
    }
    layouts: ClassVar = (
        *(
            Layout(folder, tuple(names), read)
            for names in (ORIGINAL, DOMAINBED, UNDERLINED)
            for folder in ("OfficeHomeDataset_10072016", "office_home", "OfficeHome")
        ),
        Layout(
            "office_home_dg", tuple(f"{d}/{part}" for d in DASSL for part in PARTS), read_dassl_dg
        ),
        Layout("office_home", tuple(DASSL), read),
    )
    by_hand: ClassVar = (
        "get OfficeHomeDataset_10072016.zip by the link on its page, or office_home_dg.zip by that "
        "on Dassl's DATASETS page (github.com/KaiyangZhou/Dassl.pytorch), and unpack it there"
    )
