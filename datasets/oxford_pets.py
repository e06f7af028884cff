"""Oxford-IIIT Pet: 37 breeds of cats and dogs."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from fplbench.data.on_disk import Counts, Download, Layout, OnDisk
from fplbench.data.splits import OFFICIAL, ZHOU, Contents, Entry, from_entries, spaced, text_lines
from fplbench.errors import UserError

IMAGES = "images"


def official(folder: Path) -> Contents:
    """annotations/trainval.txt and test.txt: IMAGE CLASS SPECIES BREED, classes from 1."""
    names: dict[int, str] = {}
    parts = []
    for part in ("trainval", "test"):
        path = folder / "annotations" / f"{part}.txt"
        entries = []
        for line in text_lines(path):
            if line.startswith("#"):
                continue
            try:
                image, label = line.split()[0], int(line.split()[1]) - 1
            except (IndexError, ValueError) as error:
                raise UserError(f"{path}: {line!r} is no line of it: unpack it again.") from error
            # Cats' files begin with a capital, dogs' do not; prompts have small letters.
            names.setdefault(label, spaced(image.rpartition("_")[0]).lower())
            entries.append(Entry(f"{IMAGES}/{image}.jpg", label))
        parts.append(entries)
    classnames = [names[label] for label in sorted(names)]
    return from_entries(folder, classnames, parts[0], parts[1], OFFICIAL, "official")


class OxfordPets(OnDisk):
    name: ClassVar = "oxford_pets"
    title: ClassVar = "Oxford-IIIT Pet"
    summary: ClassVar = "37 breeds of cats and dogs"
    source: ClassVar = (
        "Parkhi et al., Cats and Dogs, CVPR 2012; https://www.robots.ox.ac.uk/~vgg/data/pets/"
    )
    licence: ClassVar = "CC BY-SA 4.0"
    templates: ClassVar = ("a photo of a {}, a type of pet.",)
    classes: ClassVar = 37
    images: ClassVar = 7_349
    counts: ClassVar = {OFFICIAL: Counts(3_680, 3_669), ZHOU: Counts(2_944, 3_669)}
    zhou: ClassVar = "split_zhou_OxfordPets.json"
    layouts: ClassVar = (
        Layout("oxford_pets", (IMAGES, "annotations"), official, IMAGES),
        Layout("oxford-iiit-pet", (IMAGES, "annotations"), official, IMAGES),
    )
    size: ClassVar = 811_092_049
    downloads: ClassVar = (
        Download(
            "https://www.robots.ox.ac.uk/~vgg/data/pets/data/images.tar.gz",
            "md5:5c4f3ee8e5d25df40f4fd59a7f44e54c",
            into="oxford_pets",
        ),
        Download(
            "https://www.robots.ox.ac.uk/~vgg/data/pets/data/annotations.tar.gz",
            "md5:95a8c909bbe2e81eed6a22bccdf3f68f",
            into="oxford_pets",
        ),
    )
