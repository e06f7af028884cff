"""ImageNet-V2: ten new pictures of each class of ImageNet, chosen as the old ones were."""

from __future__ import annotations

from typing import ClassVar

from fplbench.data.on_disk import Counts, Download, Layout
from fplbench.data.splits import OFFICIAL
from fplbench.data.wordnet import Variant, wordnet_ids
from fplbench.errors import UserError

FOLDER = "imagenetv2-matched-frequency-format-val"


class ImageNetV2(Variant):
    name: ClassVar = "imagenet_v2"
    title: ClassVar = "ImageNet-V2 (matched frequency)"
    summary: ClassVar = "new test images of ImageNet's 1,000 classes"
    source: ClassVar = (
        "Recht et al., Do ImageNet Classifiers Generalize to ImageNet?, ICML 2019; "
        "https://github.com/modestyachts/ImageNetV2"
    )
    licence: ClassVar = "MIT"
    classes: ClassVar = 1_000
    images: ClassVar = 10_000
    counts: ClassVar = {OFFICIAL: Counts(None, 10_000, test_each=10)}
    layouts: ClassVar = (
        Layout(f"imagenetv2/{FOLDER}", ("0",)),
        Layout(FOLDER, ("0",)),
    )
    size: ClassVar = 1_264_079_360
    downloads: ClassVar = (
        Download(
            "https://huggingface.co/datasets/vaishaal/ImageNetV2/resolve/main/"
            "imagenetv2-matched-frequency.tar.gz",
            "sha256:f0c37fdf925916b19ea1323cd9a2208cdb6959ba2c32eef2a7fc393835c9ca7c",
            into="imagenetv2",
        ),
    )

    @staticmethod
    def wordnet_id(folder: str) -> str:
        """Its folders are numbered like ImageNet's labels."""
        if not folder.isdecimal() or int(folder) >= len(wordnet_ids()):
            raise UserError(f"ImageNet-V2: the folder {folder} is no label from 0 to 999.")
        return wordnet_ids()[int(folder)]
