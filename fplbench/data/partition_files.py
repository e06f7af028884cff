"""Who holds which images, as a file that other programs read and write: CSV or JSON.

CSV has the columns client, split and image, a line an image; JSON is client -> split -> images.
docs/datasets.md, "Partitions made elsewhere", describes both. An image is called what the data set
calls it: its path in the data set's folder, or its row in the split where it is no file.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL.Image import Image

from fplbench.data.images import ImageFiles
from fplbench.data.names import composed, is_text, readable
from fplbench.data.splits import decoded
from fplbench.dataset import Data, IntArray, Split
from fplbench.errors import UserError
from fplbench.records.atomic import write_aside
from fplbench.scenario import Clients

TRAIN, TEST = "train", "test"
COLUMNS = ("client", "split", "image")
FORMS = (".csv", ".json")


@dataclass(frozen=True)
class Holding:
    """One client's images, by their names in the data set, in the file's order."""

    client: str
    train: tuple[str, ...]
    test: tuple[str, ...]


def read(path: Path) -> list[Holding]:
    """The clients of a file, in its order. UserError: it is none of this form, an image is a
    client's twice or two clients' for training, or a client has none to train on."""
    require_form(path)
    try:
        text = decoded(path.read_bytes())
    except OSError as error:
        raise UserError(f"the partition {path} cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise UserError(
            f"the partition {path} is not UTF-8 (byte {error.start}): save it as UTF-8."
        ) from error
    triples = _of_json(path, text) if _form(path) == ".json" else _of_csv(path, text)
    found: dict[str, dict[str, list[str]]] = {}
    for client, split, image in triples:
        found.setdefault(client, {TRAIN: [], TEST: []})[split].append(plain(image))
    holdings = [Holding(c, tuple(held[TRAIN]), tuple(held[TEST])) for c, held in found.items()]
    _check(path, holdings)
    return holdings


def digest(holdings: Sequence[Holding]) -> str:
    """Of what is in a file, not of its form or its place."""
    text = json.dumps([[h.client, h.train, h.test] for h in holdings])
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def write(path: Path, data: Data, clients: Clients) -> None:
    """Each client's training images, and as its test images those that count for `local`, or all
    that it is asked about where a scenario has no such question."""
    require_form(path)
    names = {TRAIN: _names_of(data.train), TEST: _names_of(data.test)}
    holdings = [
        Holding(
            client,
            tuple(names[TRAIN][row] for row in rows),
            tuple(names[TEST][row] for row in _tested(clients, number)),
        )
        for number, (client, rows) in enumerate(
            zip(clients.client_names, clients.train_rows, strict=True)
        )
    ]
    for holding in holdings:
        for name in (*holding.train, *holding.test):
            if not is_text(name) or "\r" in name:
                raise UserError(
                    f"the image {readable(name)!r} has a name that is not UTF-8, or of two lines: "
                    "rename it."
                )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with write_aside(path) as file:
            file.write(text_of(path, holdings).encode())
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}.") from error


def text_of(path: Path, holdings: Sequence[Holding]) -> str:
    """What a file of this name holds."""
    if _form(path) == ".json":
        whole = {h.client: {TRAIN: list(h.train), TEST: list(h.test)} for h in holdings}
        return json.dumps(whole, ensure_ascii=False, indent=1) + "\n"
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for holding in holdings:
        for split, images in ((TRAIN, holding.train), (TEST, holding.test)):
            writer.writerows((holding.client, split, image) for image in images)
    return text.getvalue()


def rows_of(
    path: Path, holdings: Sequence[Holding], data: Data
) -> Iterator[tuple[IntArray, IntArray]]:
    """Each client's rows of the training and of the test split.

    Of data that are cut (a validation split, a long tail), training images that are not there any
    more are passed over; where the test images are some of the training images, a client's are
    those of its own. UserError: the data set has no such image.
    """
    train, test = _Known(path, data.train, TRAIN), _Known(path, data.test, TEST)
    validation = train.images is test.images
    for holding in holdings:
        every = train.places(holding, holding.train, test)
        own = every if validation else test.places(holding, holding.test, train)
        yield train.rows(every), test.rows(own)


class _Known:
    """The images of one split by their names."""

    def __init__(self, path: Path, split: Split, what: str) -> None:
        self.path = path
        self.what = what
        self.images, there = split.whole()
        self.names = names_of(self.images)
        known = [plain(name) for name in self.names]
        self.place = {name: place for place, name in enumerate(known)}
        self.twice = {name for name, count in Counter(known).items() if count > 1}
        self._row = np.full(len(self.images), -1)
        self._row[there] = np.arange(len(there))

    def rows(self, places: IntArray) -> IntArray:
        """The rows of the split of those of the images that are in it."""
        rows = self._row[places]
        return rows[rows >= 0]

    def places(self, holding: Holding, images: Sequence[str], other: _Known) -> IntArray:
        """Which of the data set's images these are."""
        for image in images:
            if image not in self.place or image in self.twice:
                raise UserError(
                    f"{self.path}: {holding.client} has the {self.what} image {image}, which "
                    f"{self._why_not(image, other)}."
                )
        return np.array([self.place[image] for image in images], dtype=np.int64)

    def _why_not(self, image: str, other: _Known) -> str:
        if image in self.twice:
            return "the data set has twice, so nobody knows which is meant"
        if not isinstance(self.images, ImageFiles):
            return f"the data set does not have: they are rows, from 0 to {len(self.names) - 1}"
        if image in other.place:
            return f"is a {other.what} image here: train and test are as the data set has them"
        return f"the data set does not have: they are called like {self.names[0]}"


def names_of(images: Sequence[Image]) -> list[str]:
    """What a data set calls its images: paths, or rows where they are no files."""
    return list(images.names) if isinstance(images, ImageFiles) else [*map(str, range(len(images)))]


def plain(name: str) -> str:
    """One spelling of a name: Windows writes paths with backslashes, macOS accents decomposed."""
    return composed(name).replace("\\", "/")


def _names_of(split: Split) -> list[str]:
    images, places = split.whole()
    names = names_of(images)
    return [names[place] for place in places]


def _tested(clients: Clients, number: int) -> list[int]:
    """A client's own test rows."""
    rows = [exam.rows[number][exam.rows[number] >= 0] for exam in clients.exams]
    own = [
        exam.rows[number][exam.questions["local"].counts[number]]
        for exam in clients.exams
        if "local" in exam.questions
    ]
    return list(dict.fromkeys(int(row) for each in own or rows for row in each))


def _form(path: Path) -> str:
    return path.suffix.lower()


def require_form(path: Path) -> None:
    """UserError for a name that says of no form."""
    if _form(path) not in FORMS:
        raise UserError(f"the partition {path}: let its name end in .csv or .json.")


def _of_csv(path: Path, text: str) -> Iterator[tuple[str, str, str]]:
    reader = csv.reader(io.StringIO(text, newline=""))
    lines = _lines(path, reader)
    head = [name.strip().lower() for name in next(lines, [])]
    if not {*COLUMNS} <= {*head}:
        raise UserError(
            f"the partition {path} must begin with the line client,split,image, but it begins "
            f"with {','.join(head)!r}."
        )
    twice = [name for name in COLUMNS if head.count(name) > 1]
    if twice:
        raise UserError(f"the partition {path} has the column {twice[0]} twice: leave one.")
    columns = [head.index(name) for name in COLUMNS]
    for line in lines:
        if not any(line):
            continue
        where = f"{path}, line {reader.line_num}"
        if len(line) != len(head):
            raise UserError(f"{where} has {len(line)} values, but the first line {len(head)}.")
        client, split, image = (line[column] for column in columns)
        yield client, _split(where, split.strip()), image


def _lines(path: Path, reader: Any) -> Iterator[list[str]]:
    """The rows; UserError for one that csv gives up on."""
    while True:
        begins = reader.line_num + 1
        try:
            line = next(reader, None)
        except csv.Error as error:
            raise UserError(
                f"{path}, line {begins}: the row that begins there is never ended ({error}); look "
                "for a quotation mark that stands alone."
            ) from error
        if line is None:
            return
        yield line


def _of_json(path: Path, text: str) -> Iterator[tuple[str, str, str]]:
    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        for name, count in Counter(name for name, _ in pairs).items():
            if count > 1:
                raise ValueError(f"{name!r} stands there twice")
        return dict(pairs)

    try:
        clients = json.loads(text, object_pairs_hook=once)
        if not isinstance(clients, dict) or not all(isinstance(c, dict) for c in clients.values()):
            raise ValueError("it is no object of objects")
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"the partition {path} is not client -> split -> images in JSON ({error})."
        ) from error
    for client, parts in clients.items():
        for split, images in parts.items():
            where = f"{path}, {client}"
            if not isinstance(images, list) or not all(_is_name(each) for each in images):
                raise UserError(f"{where}: {split} must be a list of images.")
            part = _split(where, split)
            yield from ((client, part, str(image)) for image in images)


def _is_name(image: object) -> bool:
    return isinstance(image, str | int) and not isinstance(image, bool)


def _split(where: str, split: str) -> str:
    if split not in (TRAIN, TEST):
        raise UserError(f"{where}: the split is {split!r}, but must be train or test.")
    return split


def _check(path: Path, holdings: Sequence[Holding]) -> None:
    owner: dict[str, str] = {}
    if not any(holding.test for holding in holdings):
        raise UserError(
            f"the partition {path} has no test images, so nothing would be known of a client's own "
            "model: add lines with the split test; clients may share their images."
        )
    for holding in holdings:
        if not holding.client:
            raise UserError(f"the partition {path} has a client without a name.")
        if not holding.train:
            raise UserError(
                f"the partition {path} has no training images for {holding.client}: add some, or "
                "leave the client out."
            )
        for what, images in ((TRAIN, holding.train), (TEST, holding.test)):
            for image, count in Counter(images).items():
                if count > 1:
                    raise UserError(
                        f"the partition {path} has the {what} image {image} twice for "
                        f"{holding.client}: each counts once."
                    )
        for image in holding.train:
            if image in owner:
                raise UserError(
                    f"the partition {path} has the training image {image} for {owner[image]} and "
                    f"for {holding.client}: each goes to one client."
                )
            owner[image] = holding.client
