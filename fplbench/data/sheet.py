"""A contact sheet: some images of some classes, a class a row, domains side by side."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from fplbench.dataset import Data, IntArray
from fplbench.errors import UserError
from fplbench.machine.fonts import drawable, file_for
from fplbench.records.atomic import OUT, writing
from fplbench.rng import numpy_generator

CELL, GAP, LABEL, HEAD = 96, 4, 150, 22  # pixels
MOST = 4000  # images; more are not looked at by anyone


def draw(data: Data, classes: int, images: int, seed: int, path: Path) -> Path:
    """Write a PNG of training images and return its path.

    classes: how many, evenly spread over the list; images: of each class and domain.
    """
    if path.suffix.lower() != ".png":
        raise UserError(f"--out {path}: a contact sheet is a PNG, so let the name end in .png.")
    domains = data.domains or ("",)
    classes = min(classes, len(data.classnames))
    labels = np.unique(np.linspace(0, len(data.classnames) - 1, classes).round().astype(int))
    if len(labels) * len(domains) * images > MOST:
        raise UserError(
            f"{len(labels)} classes x {len(domains)} domains x {images} images are more than "
            f"{MOST}: lower --classes or --images."
        )
    head = HEAD if data.domains else 0
    group = images * (CELL + GAP) + 2 * GAP
    size = (LABEL + len(domains) * group, head + len(labels) * (CELL + GAP) + GAP)
    page = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(page)
    for row, label in enumerate(labels):
        top = head + GAP + row * (CELL + GAP)
        words = "\n".join(textwrap.wrap(drawable(data.classnames[label]), 19)[:5])
        pen.multiline_text((GAP, top + 4), words, fill="black", font=_font(words))
        for column, domain in enumerate(domains):
            left = LABEL + column * group
            if domain and row == 0:
                pen.text((left, 2), drawable(domain), fill="black", font=_font(domain))
            for number, index in enumerate(_drawn(data, int(label), column, images, seed)):
                picture = ImageOps.contain(data.train.images[index], (CELL, CELL))
                corner = ((CELL - picture.width) // 2, (CELL - picture.height) // 2)
                page.paste(picture, (left + number * (CELL + GAP) + corner[0], top + corner[1]))
    with writing(path, OUT):
        path.parent.mkdir(parents=True, exist_ok=True)
        page.save(path)
    return path


def _font(text: str) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    if text.isascii():
        return ImageFont.load_default(14)
    return ImageFont.truetype(file_for(text), 14)


def _drawn(data: Data, label: int, domain: int, count: int, seed: int) -> list[int]:
    """Rows of some training images of a class in a domain."""
    mine: IntArray = np.flatnonzero(data.train.labels == label)
    if data.train.domains is not None:
        mine = mine[data.train.domains[mine] == domain]
    order = numpy_generator(seed, "sheet", label, domain).permutation(len(mine))
    return [int(row) for row in np.sort(mine[order[:count]])]
