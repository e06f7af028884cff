"""PACS: photos, paintings, cartoons and sketches of seven things."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from fplbench.data.domain_lists import read_listed
from fplbench.data.on_disk import Layout, OnDisk
from fplbench.data.splits import Contents

DOMAINS = ("art_painting", "cartoon", "photo", "sketch")
CLASSES = ("dog", "elephant", "giraffe", "guitar", "horse", "house", "person")
# The authors' lists: nine tenths of each domain, and the tenth that Dassl validates on.
ENDS = ("train_kfold", "crossval_kfold")
# In the lists, but damaged or missing, as Dassl's loader says.
DAMAGED = ("sketch/dog/n02103406_4068-1.png",)


def read(folder: Path) -> Contents:
    return read_listed(folder, DOMAINS, CLASSES, (".", "splits", "../splits"), ENDS, DAMAGED)


class PACS(OnDisk):
    name: ClassVar = "pacs"
    title: ClassVar = "PACS"
    summary: ClassVar = "7 classes in 4 domains: art, cartoon, photo, sketch"
    default_scenario: ClassVar = "domains"
    source: ClassVar = "Li et al., Deeper, Broader and Artier Domain Generalization, ICCV 2017"
    licence: ClassVar = "none stated"
    classes: ClassVar = 7
    images: ClassVar = 9_991
    domain_images: ClassVar = {
        "art_painting": 2_048,
        "cartoon": 2_344,
        "photo": 1_670,
        "sketch": 3_929,
    }
    layouts: ClassVar = (
        Layout("PACS", DOMAINS, read),
        Layout("pacs/images", DOMAINS, read),
        Layout("pacs", DOMAINS, read),
    )
    by_hand: ClassVar = (
        "get PACS by the link in DomainBed's download.py (github.com/facebookresearch/DomainBed) "
        "and rename its folder kfold to PACS, or by that on Dassl's DATASETS page "
        "(github.com/KaiyangZhou/Dassl.pytorch) and unpack it into pacs"
    )
