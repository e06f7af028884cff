"""Stanford Cars: 196 models of cars with their years."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from fplbench.data.matlab import as_list, read_mat
from fplbench.data.on_disk import Counts, Layout, OnDisk
from fplbench.data.splits import OFFICIAL, ZHOU, Contents, Entry, from_entries
from fplbench.errors import UserError

TRAIN = ("cars_train", "devkit/cars_train_annos.mat")
TEST = ("cars_test", "cars_test_annos_withlabels.mat")


def year_first(name: str) -> str:
    """CoOp's order of the words: "2012 Audi A5 Coupe"."""
    model, _, year = name.rpartition(" ")
    return f"{year} {model}" if model else name


def official(folder: Path) -> Contents:
    """The annotations are records with a class from 1 and a file's name."""
    (classes,) = read_mat(folder / "devkit" / "cars_meta.mat", "class_names")
    names = [year_first(str(name)) for name in as_list(classes)]
    parts = []
    for images, file in (TRAIN, TEST):
        (found,) = read_mat(folder / file, "annotations")
        try:
            columns = (as_list(found["fname"]), as_list(found["class"]))
            parts.append(
                [Entry(f"{images}/{f}", int(c) - 1) for f, c in zip(*columns, strict=True)]
            )
        except (KeyError, ValueError, IndexError) as error:
            raise UserError(
                f"{folder / file} has no file names and classes: get it again."
            ) from error
    return from_entries(folder, names, parts[0], parts[1], OFFICIAL, "official")


class StanfordCars(OnDisk):
    name: ClassVar = "stanford_cars"
    title: ClassVar = "Stanford Cars"
    summary: ClassVar = "196 models of cars, by make, model and year"
    source: ClassVar = (
        "Krause et al., 3D Object Representations for Fine-Grained Categorization, 3dRR 2013"
    )
    licence: ClassVar = "for non-commercial research only"
    classes: ClassVar = 196
    images: ClassVar = 16_185
    counts: ClassVar = {OFFICIAL: Counts(8_144, 8_041), ZHOU: Counts(6_509, 8_041)}
    zhou: ClassVar = "split_zhou_StanfordCars.json"
    layouts: ClassVar = (
        Layout("stanford_cars", ("cars_train", "cars_test", "devkit", TEST[1]), official),
        # With CoOp's split the annotations are not needed.
        Layout("stanford_cars", ("cars_train", "cars_test", zhou), official),
    )
    size: ClassVar = 1_960_000_000
    by_hand: ClassVar = (
        "its page is gone; put cars_train, cars_test, devkit and cars_test_annos_withlabels.mat "
        "from a copy into stanford_cars (torchvision issue 7545 names some)"
    )
