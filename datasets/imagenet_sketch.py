"""ImageNet-Sketch: black and white sketches of ImageNet's classes."""

from __future__ import annotations

from typing import ClassVar

from fplbench.data.on_disk import Counts, Layout
from fplbench.data.splits import OFFICIAL
from fplbench.data.wordnet import Variant


class ImageNetSketch(Variant):
    name: ClassVar = "imagenet_sketch"
    title: ClassVar = "ImageNet-Sketch"
    summary: ClassVar = "sketches of ImageNet's 1,000 classes"
    source: ClassVar = (
        "Wang et al., Learning Robust Global Representations by Penalizing Local Predictive "
        "Power, NeurIPS 2019; https://github.com/HaohanWang/ImageNet-Sketch"
    )
    licence: ClassVar = "MIT (code); images from a web search"
    classes: ClassVar = 1_000
    images: ClassVar = 50_889
    counts: ClassVar = {OFFICIAL: Counts(None, 50_889)}
    layouts: ClassVar = (
        Layout("imagenet-sketch/images"),
        Layout("imagenet-sketch/sketch"),
        Layout("sketch", ("n01440764",)),
    )
    size: ClassVar = 7_590_000_000
    by_hand: ClassVar = (
        "get ImageNet-Sketch.zip by the links on github.com/HaohanWang/ImageNet-Sketch and "
        "unpack its class folders into imagenet-sketch/images"
    )
