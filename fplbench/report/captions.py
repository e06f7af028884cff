"""What the caption of a table must say, and the notes below it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import pandas as pd

from fplbench.plugins.measure import DEFAULT
from fplbench.records.phrases import and_, some
from fplbench.report import facts, tuning
from fplbench.report.entries import FEWER, MISSING, PARTIAL, Entry
from fplbench.report.groups import Group, is_chosen, show
from fplbench.report.significance import LEVEL, Ranking
from fplbench.report.words import About, explained, in_words, meanings, title

Kind = Literal["headline", "average", "rank", "domains", "more", "cost", "intervals", "pivot"]

MOST_NOTES = 8
# A spread over moved starts that is this part of the seeds' is told.
FAR = 1 / 3
# measured: the measure with its unit; several: the same in the plural.
WHATS = {
    "headline": "{measured} {when}",
    "average": "mean {measured} {when}",
    "rank": "average rank by {title} {when} (1 is best)",
    "domains": "{measured} {when}, by domain or data set",
    "more": "further {several} {when}",
    "intervals": "intervals and differences of {measured} {when}",
    "cost": "Cost: numbers trained on a client, megabytes sent by all clients over the run, "
    "seconds a round of training took (median and range over rounds), and megabytes of the "
    "tensors of a local step,",
}
TEST = (
    f"t-tests over {{}}, with the variance pooled over the trained methods and corrected for the "
    f"choice of the best, p < {LEVEL}"
)


class Caption(NamedTuple):
    """what: the numbers, and of which data. about: what is alike for all of them. over: what they
    are a mean of, and what is marked. Sentences, each."""

    what: str
    about: str
    over: str

    def __str__(self) -> str:
        return " ".join(self)


def caption(
    group: Group, kind: Kind, columns: Sequence[str], entries: Sequence[Sequence[Entry]]
) -> Caption:
    """What one must know to read the table, or to run it again. entries: a row's in a row."""
    averaged = kind == "average" or (kind == "intervals" and len(columns) > 1)
    several = f" {len(columns)} data sets:" if averaged or kind == "rank" else ""
    over = _over(group, kind, columns)
    unmarked = kind in ("cost", "rank", "intervals")
    marks = "" if unmarked else marked(entries, kind == "average")
    what = WHATS[kind].format(
        measured=in_words(group.scale),
        several=in_words(group.scale, several=True),
        title=group.scale.title,
        when=group.when,
    )
    what = sentence(what)
    return Caption(
        what=f"{what} on{several} {and_(columns)}.",
        about=f"{setting(group)}.",
        over=f"{over}. {marks}".strip(),
    )


def _over(group: Group, kind: Kind, columns: Sequence[str]) -> str:
    seeds = {data: len(group.seeds(data)) for data in columns}
    over = "seeds"
    if kind == "average" or (kind == "intervals" and len(columns) > 1):
        common = len(group.common_seeds(columns))
        if set(seeds.values()) != {common}:
            over = "seeds, those that all data sets have"
        seeds = {"": common}
    spread = "" if kind in ("cost", "rank", "intervals") else " ± standard deviation"
    counts = sorted(set(seeds.values()))
    if counts == [1]:
        return "One seed, so no standard deviation" if spread else "One seed"
    each = [f"{count} ({data})" for data, count in seeds.items()]
    number = str(counts[0]) if len(counts) == 1 else and_(each)
    return f"Mean{spread} over {number} {over}"


def marked(rows: Sequence[Sequence[Entry]], over_data: bool) -> str:
    """What bold says, or why nothing is bold. rows: the entries of each row."""
    columns = [[e for e in column if e.mean is not None] for column in zip(*rows, strict=True)]
    if any(entry.mark for column in columns for entry in column):
        test = TEST.format("seeds' averages" if over_data else "the seeds")
        # Who lacks seeds is not ranked, and may have the highest number of the column.
        some_lack = any(entry.fewer for column in columns for entry in column)
        ranked = " among methods with all the seeds" if some_lack else ""
        return f"Bold: the best of a column{ranked} and those not told from it ({test})."
    rivals = [column for column in columns if len(column) > 1]
    if not rivals:
        return ""
    if all(entry.seeds < 2 for column in rivals for entry in column):
        return "None is marked as best: one seed cannot tell a difference from chance."
    return "None is marked as best: fewer than two methods have all the seeds."


def ranked(found: Mapping[str, Ranking | None], about: About) -> list[str]:
    """Below a table of ranks: what its tests say. found: metric -> ranking."""
    notes = [
        f"{title(metric, about)}: Friedman p = {one.p:.2g}; ranks nearer than {one.critical:.2f} "
        f"are not told apart (Nemenyi, p < {LEVEL}; {len(one.ranks)} methods, "
        f"{one.data_sets} data sets)."
        for metric, one in found.items()
        if one is not None
    ]
    return [
        *notes,
        "Bold: the best and those not told from it. Both tests as in Demsar, JMLR 2006; they see "
        "few data sets as little evidence.",
    ]


def setting(group: Group) -> str:
    """The scenario with its settings, the backbone, the budget, the context's length, and what is
    not the default."""
    shared = {name.removeprefix("train."): value for name, value in group.shared.items()}
    budget = [
        some(show(shared[name]), what)
        for name, what in {"rounds": "round", "local_epochs": "local epoch"}.items()
        if name in shared
    ]
    frame = group.frame
    lengths = sorted({show(n) for n in frame["set.n_ctx"].dropna()}) if "set.n_ctx" in frame else []
    contexts = [some(" or ".join(lengths), "context token")] if lengths else []
    contexts += [
        f"{name.removeprefix('set.')} {show(value)}"
        for name, value in group.common.items()
        if name != "set.n_ctx"
    ]
    budget += _optimizer(group)
    partial = shared.get("participation", 1.0)
    share = [f"participation {show(partial)}"] if partial != 1.0 else []
    about = [f"{group.scenario}: {_describe(group)}", f"backbone {group.backbone}"]
    version = group.shared.get("ident.protocol")
    about += [f"protocol {version}"] if version is not None else []
    told = [f"here {', '.join(group.told)}"] if group.told else []
    if shared.get("evaluate_on", "test") != "test":
        told.append("tested on validation images, to choose settings: no result")
    told += tuning.rules(group)
    return "; ".join([*about, ", ".join([*budget, *share, *contexts]), *told])


# What a caption says anyway, or what decides no number.
SAID = ("rounds", "local_epochs", "participation", "lr", "evaluate_on", "evaluations", "chosen_by")
DESCRIBED = (
    "clients", "clients_per_domain", "classes_per_client", "shots", "alpha", "hold_out", "test_on",
    "among", "base", "source", "label_noise", "imbalance",
)  # fmt: skip


def _optimizer(group: Group) -> list[str]:
    """The learning rate, and what else of the training was not its default; what varies stands
    in the rows' labels."""
    cells = group.frame.drop_duplicates("id")
    trained = cells[(cells["trainable_parameters"] > 0) & ~is_chosen(cells)]
    changed = sorted({n for text in trained["changed"].dropna() for n in str(text).split("\n")})
    names = ["train.lr"] if "train.lr" in trained else []
    if "train.lr_schedule" in trained and set(trained["train.lr_schedule"].dropna()) - {"constant"}:
        names.append("train.lr_schedule")
    names += [n for n in changed if n.startswith("train.") and n[6:] not in SAID]
    names += [n for n in changed if n.startswith("scen.") and n[5:] not in DESCRIBED]
    return [
        f"{name.partition('.')[2].replace('_', ' ')} {show(trained[name].iloc[0])}"
        for name in dict.fromkeys(names)
        if len({show(value) for value in trained[name]}) == 1
    ]


def _describe(group: Group) -> str:
    """The scenario's own words, or its settings where a record has none."""
    settings = (name for name in group.shared if name.startswith("scen."))
    return group.words or ", ".join(
        f"{name.removeprefix('scen.')} {show(group.shared[name])}" for name in settings
    )


def entry_notes(
    labelled: Sequence[tuple[str, Sequence[Entry]]], kind: Kind = "headline"
) -> list[str]:
    """What the words and signs in entries mean."""
    entries = [entry for _, row in labelled for entry in row]
    found = []
    if any(entry.fewer for entry in entries):
        found.append(
            f"{FEWER}n: mean over n seeds only, the others stopped, were not run or not measured; "
            "not ranked."
        )
    if any(entry.text == MISSING for entry in entries):
        found.append(f"{MISSING}: not run or not measured.")
    partial = [label for label, row in labelled if any(entry.text == PARTIAL for entry in row)]
    if partial and kind == "rank":
        found.append(
            f"{PARTIAL}: not every seed on every data set, so not ranked: {and_(partial)}."
        )
    elif partial:
        found.append(
            f"{PARTIAL}: no number on some of the data sets, or no seed that all of them have, so "
            f"none over all: {and_(partial)}."
        )
    return found


def on_rounding(labelled: Sequence[tuple[str, Sequence[Entry]]], names: Sequence[str]) -> list[str]:
    """What moved starts say of these numbers. names: of the columns."""
    each = [
        (label, name, entry)
        for label, row in labelled
        for name, entry in zip(names, row, strict=True)
        if entry.samples and entry.trained
    ]
    known = [(label, name, e.std_starts, e.std, e.decimals) for label, name, e in each]
    tested = {label for label, _, moved, *_ in known if moved is not None}
    found = []
    if untested := list(dict.fromkeys(label for label, *_ in each if label not in tested)):
        many = len(untested) > MOST_NOTES
        of = f" for {f'{len(untested)} of the rows' if many else and_(untested)}" if tested else ""
        found.append(f"Rounding was never tested{of} (fplbench stability).")
    far = {
        f"{label}, {name}: {moved:.{n}f} of {std:.{n}f}": moved / std if std else math.inf
        for label, name, moved, std, n in known
        if moved and std is not None and moved > std * FAR
    }
    worst = sorted(far, key=lambda text: -far[text])
    if worst:
        more = f"; and {len(worst) - MOST_NOTES} more" if len(worst) > MOST_NOTES else ""
        found.append(
            "Rounding alone moves a seed's number by more than a third of the standard deviation "
            f"over seeds: {'; '.join(worst[:MOST_NOTES])}{more}."
        )
    return found


def notes(
    group: Group,
    kind: Kind,
    columns: Mapping[str, Sequence[str]],
    labelled: Sequence[tuple[str, Sequence[Entry]]],
) -> list[str]:
    """What the entries leave unsaid. labelled: the rows' labels with their entries."""
    frame = group.frame[group.frame["column"].isin(list(columns))]
    wanted = list(dict.fromkeys(name for names in columns.values() for name in names))
    asked = [(data, title(name, group.about)) for data, names in columns.items() for name in names]
    heads = [f"{name} ({data})" if len(columns) > 1 else name for data, name in asked]
    if kind == "average":  # a column is over all of the data sets
        heads = [title(name, group.about) for name in wanted]
    found = [*measure(group), *meanings(wanted, group.about), *entry_notes(labelled, kind)]
    found += on_rounding(labelled, heads) if kind != "rank" else []
    without = frame[frame["metric"].isin(wanted) & frame["value"].isna()]
    for (row, reason), part in without.groupby(["row", "reason"], sort=False):
        names = [title(name, group.about) for name in dict.fromkeys(part["metric"])]
        found.append(f"n/a, {row}, {and_(names)}: {str(reason).rstrip('.')}.")
    if kind == "headline":
        done = frame[frame["status"] == "done"].drop_duplicates("id")
        found += [*tuning.notes(done), *facts.notes(done), *told_of_data(done)]
        found += stopped(frame[frame["status"] != "done"].drop_duplicates("id"))
    if kind == "cost":
        found += _measured_on(frame[frame["status"] == "done"].drop_duplicates("id"))
    return found + group.notes


def measure(group: Group) -> list[str]:
    """What the numbers are, where they are not what every reader knows."""
    return [] if group.measure == DEFAULT else [explained(group.scale)]


def _measured_on(cells: pd.DataFrame) -> list[str]:
    """What the seconds and bytes are of."""
    notes = []
    trained = cells[cells["trainable_parameters"] > 0]
    together = trained.dropna(subset="clients_at_once")
    by_row = together.groupby("row", sort=False)["clients_at_once"].agg(lambda n: int(n.min()))
    if len(by_row):
        counts = sorted(set(by_row))
        each = [f"{count} ({row})" for row, count in by_row.items()]
        number = str(counts[0]) if len(counts) == 1 else and_(each)
        notes.append(f"MB step: of the clients that are computed together, {number}.")
    old = sorted(set(trained.loc[trained["seconds_round_least"].isna(), "row"]))
    if old:
        notes.append(
            f"s/round without a range is a mean, of records from before ranges: {and_(old)}."
        )
    if cells["on_gpu"].astype(bool).any():
        notes.append("MB peak: the most that the tensors of a cell took on a GPU.")
    hardware = sorted(set(cells["hardware"].dropna()))
    if hardware:
        notes.append(f"Measured on {and_(hardware)}.")
    if len(hardware) > 1:
        notes.append("Seconds of different hardware cannot be compared.")
    return notes


def told_of_data(cells: pd.DataFrame) -> list[str]:
    """What records say of their data and weights: images left out, a part of a data set."""
    said: dict[str, list[str]] = {}
    for column, notes in cells.groupby("column")["notes"]:
        for note in dict.fromkeys("\n".join(notes).split("\n")):
            said.setdefault(note, []).append(str(column))
    return [f"{and_(columns)}: {note.rstrip('.')}." for note, columns in said.items() if note]


def stopped(cells: pd.DataFrame) -> list[str]:
    """Why cells have no numbers."""
    notes = []
    for _, cell in cells.head(MOST_NOTES).iterrows():
        reason = " ".join(str(cell["reason"]).split())
        reason = reason if len(reason) <= 160 else reason[:157] + "..."
        where = f"{cell['row']} on {cell['column']}, seed {cell['seed']}"
        notes.append(f"{cell['status']}: {where}: {reason.rstrip('.')}.")
    if len(cells) > MOST_NOTES:
        notes.append(f"{len(cells) - MOST_NOTES} more cells diverged or failed.")
    return notes


def sentence(text: str) -> str:
    """Beginning with a capital letter."""
    return text[:1].upper() + text[1:]
