"""ImageNet-R: paintings, toys, tattoos and other renditions of 200 classes."""

from __future__ import annotations

from typing import ClassVar

from fplbench.data.on_disk import Counts, Download, Layout
from fplbench.data.splits import OFFICIAL
from fplbench.data.wordnet import Variant

FOLDER = "imagenet-r"


class ImageNetR(Variant):
    name: ClassVar = "imagenet_r"
    title: ClassVar = "ImageNet-R"
    summary: ClassVar = "renditions of 200 of ImageNet's classes"
    source: ClassVar = (
        "Hendrycks et al., The Many Faces of Robustness, ICCV 2021; "
        "https://github.com/hendrycks/imagenet-r"
    )
    licence: ClassVar = "MIT"
    classes: ClassVar = 200
    images: ClassVar = 30_000
    counts: ClassVar = {OFFICIAL: Counts(None, 30_000)}
    layouts: ClassVar = (
        Layout(f"imagenet-rendition/{FOLDER}"),
        Layout(FOLDER),
    )
    size: ClassVar = 2_190_000_000
    downloads: ClassVar = (
        Download(
            "https://people.eecs.berkeley.edu/~hendrycks/imagenet-r.tar",
            "md5:a61312130a589d0ca1a8fca1f2bd3337",
            into="imagenet-rendition",
        ),
    )
