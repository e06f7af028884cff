"""DomainNet's ten classes of FedBN, which federated prompt learning uses."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from fplbench.data.domain_lists import read_domains
from fplbench.data.on_disk import Download, Layout, OnDisk
from fplbench.data.splits import Contents

DOMAINS = ("clipart", "infograph", "painting", "quickdraw", "real", "sketch")
# FedBN's label order.
CLASSES = (
    "bird",
    "feather",
    "headphones",
    "ice_cream",
    "teapot",
    "tiger",
    "whale",
    "windmill",
    "wine_glass",
    "zebra",
)
PAGE = "https://csr.bu.edu/ftp/visda/2019/multi-source"
# The authors' cleaned images of these two.
CLEANED = ("clipart", "painting")


def read(folder: Path) -> Contents:
    return read_domains(folder, DOMAINS, CLASSES, lists=(".", "splits"))


class DomainNet(OnDisk):
    name: ClassVar = "domainnet"
    title: ClassVar = "DomainNet, FedBN's ten classes"
    summary: ClassVar = "10 classes in 6 domains, from photos to quick drawings"
    default_scenario: ClassVar = "domains"
    source: ClassVar = (
        "Peng et al., Moment Matching for Multi-Source Domain Adaptation, ICCV 2019; classes of "
        "FedBN (Li et al., ICLR 2021); https://ai.bu.edu/M3SDA/"
    )
    licence: ClassVar = "fair use notice: non-commercial research"
    classes: ClassVar = 10
    images: ClassVar = 0  # of these ten classes nobody published it
    layouts: ClassVar = (
        Layout("DomainNet", DOMAINS, read),
        Layout("domainnet", DOMAINS, read),
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
