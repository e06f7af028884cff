"""Office-Caltech10: the ten classes that Office-31 and Caltech-256 share."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from fplbench.data.domain_lists import read_domains
from fplbench.data.on_disk import Download, Layout, OnDisk
from fplbench.data.splits import Contents

DOMAINS = ("amazon", "caltech", "dslr", "webcam")
CLASSES = (
    "back_pack",
    "bike",
    "calculator",
    "headphones",
    "keyboard",
    "laptop_computer",
    "monitor",
    "mouse",
    "mug",
    "projector",
)


def read(folder: Path) -> Contents:
    return read_domains(folder, DOMAINS, CLASSES)


class OfficeCaltech10(OnDisk):
    name: ClassVar = "office_caltech10"
    title: ClassVar = "Office-Caltech10"
    summary: ClassVar = "10 classes of office objects from 4 cameras and shops"
    default_scenario: ClassVar = "domains"
    source: ClassVar = (
        "Gong et al., Geodesic Flow Kernel for Unsupervised Domain Adaptation, CVPR 2012; files "
        "of FedBN (Li et al., ICLR 2021), https://github.com/med-air/FedBN"
    )
    licence: ClassVar = "none stated"
    classes: ClassVar = 10
    images: ClassVar = 2_533
    domain_images: ClassVar = {"amazon": 958, "caltech": 1_123, "dslr": 157, "webcam": 295}
    layouts: ClassVar = (
        Layout("office_caltech_10", DOMAINS, read),
        Layout("office_caltech10", DOMAINS, read),
    )
    downloads: ClassVar = (
        Download(
            "https://huggingface.co/datasets/Jemary/FedBN_Dataset/resolve/main/"
            "office_caltech_10_dataset.zip"
        ),
    )
