"""TerraIncognita: animals before four camera traps, as DomainBed chose them."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from fplbench.data.domain_lists import read_listed
from fplbench.data.on_disk import Layout, OnDisk
from fplbench.data.splits import Contents

DOMAINS = ("location_100", "location_38", "location_43", "location_46")
CLASSES = (
    *("bird", "bobcat", "cat", "coyote", "dog"),
    *("empty", "opossum", "rabbit", "raccoon", "squirrel"),
)


def read(folder: Path) -> Contents:
    return read_listed(folder, DOMAINS, CLASSES, (".", "splits"))


class TerraIncognita(OnDisk):
    name: ClassVar = "terra_incognita"
    title: ClassVar = "TerraIncognita, DomainBed's ten classes"
    summary: ClassVar = "10 classes before 4 camera traps, one of them empty"
    default_scenario: ClassVar = "domains"
    source: ClassVar = (
        "Beery et al., Recognition in Terra Incognita, ECCV 2018; locations and classes of "
        "DomainBed (Gulrajani and Lopez-Paz, ICLR 2021); "
        "https://lila.science/datasets/caltech-camera-traps"
    )
    licence: ClassVar = "CDLA-Permissive 1.0"
    classes: ClassVar = 10
    images: ClassVar = 24_788
    domain_images: ClassVar = {
        "location_100": 4_879,
        "location_38": 9_767,
        "location_43": 4_020,
        "location_46": 6_122,
    }
    layouts: ClassVar = (Layout("terra_incognita", DOMAINS, read),)
    by_hand: ClassVar = (
        "run DomainBed's download.py (github.com/facebookresearch/DomainBed), which sorts the "
        "images of four of its cameras into terra_incognita/location_N/CLASS"
    )
