"""What is made of kept predictions, later and without a run: scores, confusion, agreement.

Every function takes tables of `fplbench.load_predictions`.
"""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import pandas as pd

from fplbench.errors import UserError
from fplbench.records.atomic import OUT, writing
from fplbench.records.predictions import predictions_of
from fplbench.records.record import Record
from fplbench.records.starts import Found

CELLS = ["id", "method", "title", "dataset", "scenario", "backbone", "seed"]
ASKED = ["dataset", "scenario", "seed"]
CONFUSION, AGREEMENT = "confusion.csv", "agreement.csv"


def confusion(table: pd.DataFrame) -> pd.DataFrame:
    """A row a cell, question, client, true class (label) and answer that occurs, with how many
    images; the classes' names beside. The sums over clients are those of all together."""
    by = [*CELLS, "question", "client", "label", "top1"]
    counted = table.groupby(by, observed=True, dropna=False).size().reset_index(name="images")
    counted = counted.rename(columns={"top1": "answer"})
    names = table.attrs["classes"]
    for column in ("label", "answer"):
        found = [names[i][k] for i, k in zip(counted["id"], counted[column], strict=True)]
        counted.insert(len(counted.columns) - 1, f"{column}_name", found)
    return counted


def scores(table: pd.DataFrame) -> pd.DataFrame:
    """A row a cell, question and client, with its images, accuracy and macro-F1 in percent.

    As in a record: F1 = 2 TP / (2 TP + FP + FN) of each class that the client's images show or its
    answers name, and their mean. A record's number is the mean over clients.
    """
    by = [*CELLS, "question", "client"]
    counted = confusion(table)
    sums = {
        "images": counted.groupby([*by, "label"], observed=True)["images"].sum(),
        "answered": counted.groupby([*by, "answer"], observed=True)["images"].sum(),
        "right": counted[counted["label"] == counted["answer"]]
        .groupby([*by, "label"], observed=True)["images"]
        .sum(),
    }
    each = pd.concat({k: s.rename_axis([*by, "class"]) for k, s in sums.items()}, axis=1).fillna(0)
    each["f1"] = 200 * each["right"] / (each["images"] + each["answered"])
    clients = each.groupby(by, observed=True).agg(
        images=("images", "sum"), right=("right", "sum"), f1=("f1", "mean")
    )
    clients.insert(1, "accuracy", 100 * clients.pop("right") / clients["images"])
    return clients.astype({"images": int}).reset_index()


def agreement(one: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """How often two methods answer alike: a row a data set, scenario, seed and question that both
    were asked, with the images and percentages of them: alike, and who is right.

    one, other: rows of one method each, or of any cells of which there is one a data set, scenario
    and seed. UserError where there are more, or where they were asked about other images.
    """
    for each in (one, other):
        cells = each.drop_duplicates("id")
        if cells.duplicated(ASKED).any():
            raise UserError(
                "Several cells of one side have the same data set, scenario and seed: choose one "
                'of them, as in table[table["id"] == ...].'
            )
    key = [*ASKED, "question", "client", "image", "label"]
    first, second = (_common(each, than, key) for each, than in ((one, other), (other, one)))
    if not first[key].equals(second[key]):
        raise UserError(
            "The two were not asked about the same images: compare cells of one data set, "
            "scenario with its settings, and seed."
        )
    right, too = (each["top1"] == each["label"] for each in (first, second))
    shown = first[[*ASKED, "question"]].assign(
        images=1,
        agreement=first["top1"] == second["top1"],
        both_right=right & too,
        only_first_right=right & ~too,
        only_second_right=too & ~right,
        both_wrong=~right & ~too,
    )
    found = shown.groupby([*ASKED, "question"]).agg(
        {name: "sum" if name == "images" else "mean" for name in shown.columns[4:]}
    )
    found.iloc[:, 1:] *= 100
    return found.reset_index()


def _common(table: pd.DataFrame, than: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    """The rows of questions, data and seeds that another table has too, in an order of both."""
    asked = [*ASKED, "question"]
    plain = table[[*key, "top1"]].astype({name: object for name in key[:5] if name != "seed"})
    there = pd.MultiIndex.from_frame(than[asked].drop_duplicates().astype(object))
    mine = pd.MultiIndex.from_frame(plain[asked].astype(object))
    return plain[mine.isin(there)].sort_values([*key, "top1"], ignore_index=True)


def write_confusion(found: Found, folder: Path) -> Path:
    """Of each cell, read one after the other. found: cells that have predictions."""
    return _written([confusion(predictions_of([cell])) for cell in found], folder, CONFUSION)


def write_agreement(found: Found, folder: Path) -> Path:
    """Of each two cells that were asked the same. UserError where there are no two such."""
    rows = []
    for cells in _alike(found):
        tables = [predictions_of([cell]) for cell in cells]
        for (a, one), (b, other) in combinations(enumerate(tables), 2):
            pair = agreement(one, other)
            for place, (name, index) in enumerate((("first", a), ("second", b))):
                record = cells[index][1]
                pair.insert(3 + 2 * place, name, record.title or record.method)
                pair.insert(4 + 2 * place, f"{name}_id", record.id)
            pair.insert(2, "backbone", cells[0][1].backbone)
            rows.append(pair)
    if not rows:
        raise UserError(
            "No two cells with predictions were asked the same: agreement is of two methods on one "
            "data set, scenario, backbone and seed."
        )
    return _written(rows, folder, AGREEMENT)


def _alike(found: Found) -> list[Found]:
    """Cells whose clients are asked the same, together."""
    groups: dict[str, Found] = {}
    for folder, record in found:
        groups.setdefault(_asked(record), []).append((folder, record))
    return [*groups.values()]


def _asked(record: Record) -> str:
    cell = [record.dataset, record.scenario, record.backbone, record.seed, record.scenario_settings]
    data = [record.identity.get(name) for name in ("data", "split", "partition")]
    training = [record.training.get(name) for name in ("evaluate_on", "new_clients")]
    return json.dumps([*cell, data, training], sort_keys=True)


def _written(tables: list[pd.DataFrame], folder: Path, name: str) -> Path:
    with writing(folder, OUT):
        folder.mkdir(parents=True, exist_ok=True)
        pd.concat(tables, ignore_index=True).to_csv(
            folder / name, index=False, float_format="%.6g", lineterminator="\n"
        )
    return folder / name
