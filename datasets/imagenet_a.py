"""ImageNet-A: natural pictures of 200 classes that ResNet-50 got wrong."""

from __future__ import annotations

from typing import ClassVar

from fplbench.data.on_disk import Counts, Download, Layout
from fplbench.data.splits import OFFICIAL
from fplbench.data.wordnet import Variant

FOLDER = "imagenet-a"


class ImageNetA(Variant):
    name: ClassVar = "imagenet_a"
    title: ClassVar = "ImageNet-A"
    summary: ClassVar = "natural adversarial pictures of 200 of ImageNet's classes"
    source: ClassVar = (
        "Hendrycks et al., Natural Adversarial Examples, CVPR 2021; "
        "https://github.com/hendrycks/natural-adv-examples"
    )
    licence: ClassVar = "MIT"
    classes: ClassVar = 200
    images: ClassVar = 7_500
    counts: ClassVar = {OFFICIAL: Counts(None, 7_500)}
    layouts: ClassVar = (
        Layout(f"imagenet-adversarial/{FOLDER}"),
        Layout(FOLDER),
    )
    size: ClassVar = 687_552_512
    downloads: ClassVar = (
        Download(
            "https://people.eecs.berkeley.edu/~hendrycks/imagenet-a.tar",
            "md5:c3e55429088dc681f30d81f4726b6595",
            into="imagenet-adversarial",
        ),
    )
