"""DomainNet with all of its 345 classes."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from fplbench.data.domain_lists import class_names, read_listed
from fplbench.data.on_disk import Counts, Download, Layout, OnDisk
from fplbench.data.splits import OFFICIAL, Contents

DOMAINS = ("clipart", "infograph", "painting", "quickdraw", "real", "sketch")
PAGE = "https://csr.bu.edu/ftp/visda/2019/multi-source"
# The authors' cleaned images of these two.
CLEANED = ("clipart", "painting")


def read(folder: Path) -> Contents:
    """FedBN's lists beside it are of ten classes and passed over."""
    return read_listed(folder, DOMAINS, class_names(folder, DOMAINS), (".", "splits"))


class DomainNetFull(OnDisk):
    name: ClassVar = "domainnet_full"
    title: ClassVar = "DomainNet"
    summary: ClassVar = "345 classes in 6 domains, from photos to quick drawings"
    default_scenario: ClassVar = "domains"
    source: ClassVar = (
        "Peng et al., Moment Matching for Multi-Source Domain Adaptation, ICCV 2019; "
        "https://ai.bu.edu/M3SDA/"
    )
    licence: ClassVar = "fair use notice: non-commercial research"
    classes: ClassVar = 345
    images: ClassVar = 586_575
    # By the authors' lists of the cleaned images, whose sum DomainBed gives.
    counts: ClassVar = {OFFICIAL: Counts(409_832, 176_743)}
    domain_images: ClassVar = {
        "clipart": 48_129,
        "infograph": 51_605,
        "painting": 72_266,
        "quickdraw": 172_500,
        "real": 172_947,
        "sketch": 69_128,
    }
    layouts: ClassVar = (
        Layout("DomainNet", DOMAINS, read),
        Layout("domainnet", DOMAINS, read),
        Layout("domain_net", DOMAINS, read),
    )
    size: ClassVar = 18_500_000_000
    downloads: ClassVar = tuple(
        Download(f"{PAGE}/{'groundtruth/' if name in CLEANED else ''}{name}.zip", into="DomainNet")
        for name in DOMAINS
    ) + tuple(
        Download(f"{PAGE}/domainnet/txt/{name}_{part}.txt", into="DomainNet")
        for name in DOMAINS
        for part in ("train", "test")
    )
