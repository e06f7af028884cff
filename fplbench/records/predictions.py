"""What the clients of a cell answered, image by image: a file beside its record, for whoever asked
for it (`fplbench run --keep-predictions`), and the table that a notebook reads.

ID/predictions.npz has an array a column, compressed, and "about", JSON: the layout, the questions,
the names of the data set's classes. Its rows are sorted by question, client and image.
"""

from __future__ import annotations

import io
import json
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fplbench.errors import UserError
from fplbench.records.record import Record
from fplbench.records.results import CELL, DamagedRecordWarning, read_cells
from fplbench.records.starts import Found, drawn
from fplbench.records.store import PREDICTIONS, DamagedRecord, Problem, foreign, read_checked

TOP = 5
"""Classes that are kept of an answer."""
ALONE = -1
"""In the place of a client where the shared prompt alone answers; its name in the table is ""."""
LAYOUT = 1
ROW = 32
"""Bytes of an answer before compression, with fewer than 32,768 classes."""
PLACES = [f"top{place}" for place in range(1, TOP + 1)]
SHARES = [f"p{place}" for place in range(1, TOP + 1)]


@dataclass(frozen=True)
class Predicted:
    """The N answers of a cell. Classes are indices into the data set's class names.

    question: [N], into `questions`. client: [N], ALONE for none. image: [N], rows of the test
    split. label: [N], the true class. top: [N, TOP], the classes of the highest probabilities, -1
    where fewer compete. probability: [N, TOP], theirs among the question's classes, float16.
    """

    questions: tuple[str, ...]
    question: NDArray[Any]
    client: NDArray[Any]
    image: NDArray[Any]
    label: NDArray[Any]
    top: NDArray[Any]
    probability: NDArray[Any]


def content(predicted: Predicted, classnames: Sequence[str]) -> bytes:
    """The file; the same bytes for the same answers."""
    narrow = np.int16 if len(classnames) < 2**15 else np.int32
    about = {"layout": LAYOUT, "questions": predicted.questions, "classes": [*classnames]}
    file = io.BytesIO()
    np.savez_compressed(
        file,
        about=np.frombuffer(json.dumps(about).encode(), dtype=np.uint8),
        question=predicted.question.astype(np.uint16),
        client=predicted.client.astype(np.int32),
        image=predicted.image.astype(np.int32),
        label=predicted.label.astype(narrow),
        top=predicted.top.astype(narrow),
        probability=predicted.probability.astype(np.float16),
    )
    return file.getvalue()


def read(folder: Path) -> tuple[Predicted, tuple[str, ...]]:
    """The answers in a cell's folder, and the names of the classes. DamagedRecord: the file is not
    what was written, or another version wrote it."""
    data = read_checked(folder, PREDICTIONS)
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            about = json.loads(file["about"].tobytes())
            if about["layout"] != LAYOUT:
                raise ValueError(f"its layout is {about['layout']}, this fplbench reads {LAYOUT}")
            columns = {name: file[name] for name in file.files if name != "about"}
        return Predicted(tuple(about["questions"]), **columns), tuple(about["classes"])
    except (ValueError, KeyError, TypeError, OSError, zipfile.BadZipFile, zlib.error) as error:
        raise foreign(folder, PREDICTIONS, f"no predictions: {error}") from error


def load_predictions(path: Path | str = "results") -> pd.DataFrame:
    """One row a cell, question, client and test image that it was asked about, after the last
    round; of a folder of cells or of one cell's folder.

    Columns: those of CELL, question, client (its name; "" for the shared prompt alone), image (a
    row of the test split, or of the images held out with --evaluate-on validation), label, top1 to
    top5 (classes, the likeliest first; -1 where fewer compete) and p1 to p5 (their probabilities,
    of float16). Classes are indices into `table.attrs["classes"][id]`. Settings are in
    `load_results`, by id. What cannot be read is named in a warning and in
    `table.attrs["problems"]`. UserError where no cell has predictions.
    """
    found, problems = read_cells(path)
    return predictions_of(require_predictions(found, path), problems)


def require_predictions(found: Found, path: Path | str) -> Found:
    """The cells that have kept theirs, without moved starts; UserError where none has."""
    kept = [(place, record) for place, record in drawn(found) if (place / PREDICTIONS).exists()]
    if not kept:
        raise UserError(
            f"No cell in {path} has predictions: `fplbench run --keep-predictions` keeps them, in "
            "the folders of cells and not in packed files."
        )
    return kept


def predictions_of(found: Found, problems: Sequence[Problem] = ()) -> pd.DataFrame:
    """`load_predictions` of cells that have them; a torn file is one more problem."""
    cells, problems = list[tuple[Record, Predicted]](), list(problems)
    names: dict[str, tuple[str, ...]] = {}
    for folder, record in found:
        try:
            predicted, names[record.id] = read(folder)
        except DamagedRecord as error:
            problems.append(Problem(folder, str(error)))
            continue
        cells.append((record, predicted))
    table = pd.DataFrame(_columns(cells))
    for problem in problems:
        warnings.warn(problem.message, DamagedRecordWarning, stacklevel=3)
    table.attrs = {"classes": names, "problems": [problem.message for problem in problems]}
    return table


def _columns(cells: Sequence[tuple[Record, Predicted]]) -> dict[str, Any]:
    """Texts are categories: a word a row would take more than all the rest."""
    many = [len(predicted.image) for _, predicted in cells]
    found: dict[str, Any] = {}
    for name in CELL:
        values = pd.Categorical([getattr(record, name) for record, _ in cells])
        found[name] = pd.Categorical.from_codes(
            np.repeat(values.codes, many), categories=values.categories
        )
    found["seed"] = np.repeat(np.array([r.seed for r, _ in cells], dtype=np.int64), many)
    found["question"] = _named([(p.questions, p.question) for _, p in cells])
    found["client"] = _named([((*r.clients, ""), p.client) for r, p in cells])
    found["image"] = _joined([p.image for _, p in cells], np.int32)
    found["label"] = _joined([p.label for _, p in cells], np.int16)
    for place, name in enumerate(PLACES):
        found[name] = _joined([p.top[:, place] for _, p in cells], np.int16)
    for place, name in enumerate(SHARES):
        found[name] = _joined([p.probability[:, place] for _, p in cells], np.float16).astype("f4")
    return found


def _named(parts: Sequence[tuple[Sequence[str], NDArray[Any]]]) -> pd.Categorical[Any]:
    """Indices of each cell into names of its own, as categories of all cells' names. ALONE, the
    last one's index, is the last name."""
    known: dict[str, int] = {}
    codes = []
    for names, index in parts:
        own = np.array([known.setdefault(name, len(known)) for name in names], dtype=np.int32)
        codes.append(own[index] if len(own) else index)
    every: NDArray[np.int32] = _joined(codes, np.int32)
    return pd.Categorical.from_codes(every, categories=pd.Index(list(known), dtype=object))


def _joined(parts: Sequence[NDArray[Any]], kind: Any) -> NDArray[Any]:
    """kind: where there is no part."""
    return np.concatenate(parts) if parts else np.zeros(0, dtype=kind)
