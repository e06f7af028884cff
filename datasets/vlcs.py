"""VLCS: five classes that four collections of photos share."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from fplbench.data.domain_lists import read_folders
from fplbench.data.on_disk import Layout, OnDisk
from fplbench.data.splits import Contents

CLASSES = ("bird", "car", "chair", "dog", "person")
# DomainBed's folders, and Dassl's of the same collections.
DOMAINBED = ("Caltech101", "LabelMe", "SUN09", "VOC2007")
DASSL = {"CALTECH": "Caltech101", "LABELME": "LabelMe", "SUN": "SUN09", "PASCAL": "VOC2007"}


def read(folder: Path) -> Contents:
    return read_folders(folder, {name: name for name in DOMAINBED})


def read_dassl(folder: Path) -> Contents:
    """Classes are numbers; crossval and full are left aside: the one is Dassl's validation, the
    other holds all images once more."""
    return read_folders(folder, DASSL, ("train", "test"), CLASSES)


class VLCS(OnDisk):
    name: ClassVar = "vlcs"
    title: ClassVar = "VLCS"
    summary: ClassVar = "5 classes in 4 collections of photos"
    default_scenario: ClassVar = "domains"
    source: ClassVar = (
        "Torralba and Efros, Unbiased Look at Dataset Bias, CVPR 2011; put together by Fang et "
        "al., Unbiased Metric Learning, ICCV 2013"
    )
    licence: ClassVar = "none stated"
    classes: ClassVar = 5
    images: ClassVar = 10_729
    domain_images: ClassVar = {
        "Caltech101": 1_415,
        "LabelMe": 2_656,
        "SUN09": 3_282,
        "VOC2007": 3_376,
    }
    layouts: ClassVar = (
        Layout("VLCS", DOMAINBED, read),
        Layout(
            "VLCS", tuple(f"{d}/{part}" for d in DASSL for part in ("train", "test")), read_dassl
        ),
    )
    by_hand: ClassVar = (
        "get VLCS by the link in DomainBed's download.py (github.com/facebookresearch/DomainBed) "
        "or on Dassl's DATASETS page (github.com/KaiyangZhou/Dassl.pytorch) and unpack it into VLCS"
    )
