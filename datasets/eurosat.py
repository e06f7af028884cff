"""EuroSAT: ten kinds of land use seen by the Sentinel-2 satellite, in RGB."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from fplbench.data.on_disk import Counts, Download, Layout, OnDisk
from fplbench.data.splits import ZHOU, Contents, class_folders, numbered, seeded, spaced, tree

IMAGES = "2750"
# As Zenodo's EuroSAT_RGB.zip and Kaggle's copy unpack: the classes are in the folder itself.
BARE = ("EuroSAT_RGB", "eurosat/EuroSAT_RGB", "EuroSAT", "eurosat/EuroSAT", "eurosat")
# CoOp's corrections; the other classes keep their names.
CORRECTED = {
    "AnnualCrop": "Annual Crop Land",
    "HerbaceousVegetation": "Herbaceous Vegetation Land",
    "Highway": "Highway or Road",
    "Industrial": "Industrial Buildings",
    "Pasture": "Pasture Land",
    "PermanentCrop": "Permanent Crop Land",
    "Residential": "Residential Buildings",
    "SeaLake": "Sea or Lake",
}


def classname(raw: str) -> str:
    return CORRECTED.get(raw, spaced(raw))


def by_seed(folder: Path) -> Contents:
    """There is no official split."""
    below = IMAGES if (folder / IMAGES).is_dir() else "."
    classes = class_folders(folder / below)
    entries = tree(folder, below, numbered(classes))
    return seeded(folder, [classname(name) for name in classes], entries)


class EuroSat(OnDisk):
    name: ClassVar = "eurosat"
    title: ClassVar = "EuroSAT (RGB)"
    summary: ClassVar = "10 kinds of land use in satellite pictures"
    source: ClassVar = (
        "Helber et al., EuroSAT, IEEE JSTARS 2019; https://github.com/phelber/eurosat"
    )
    licence: ClassVar = "MIT"
    templates: ClassVar = ("a centered satellite photo of {}.",)
    classes: ClassVar = 10
    images: ClassVar = 27_000
    counts: ClassVar = {ZHOU: Counts(13_500, 8_100)}
    zhou: ClassVar = "split_zhou_EuroSAT.json"
    layouts: ClassVar = (
        Layout("eurosat", (IMAGES,), by_seed, IMAGES),
        *(Layout(folder, ("AnnualCrop", "SeaLake"), by_seed) for folder in BARE),
    )
    size: ClassVar = 94_280_567
    downloads: ClassVar = (
        Download(
            "https://huggingface.co/datasets/torchgeo/eurosat/resolve/"
            "c877bcd43f099cd0196738f714544e355477f3fd/EuroSAT.zip",
            "md5:c8fa014336c82ac7804f0398fcb19387",
            into="eurosat",
        ),
    )

    classname = staticmethod(classname)
