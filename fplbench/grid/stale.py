"""Records that the present code, data or protocol would not make again, and what has changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from fplbench.grid.plan import Files
from fplbench.plugins.provenance import Hashes, differences, hash_of
from fplbench.records.phrases import and_
from fplbench.records.record import Record
from fplbench.scenario import Settings as ScenarioSettings
from fplbench.spec import PROTOCOL, Cell

WORDS = {
    "data": "the data",
    "split": "the source of the split",
    "weights": "the weights of the backbone",
}


@dataclass(frozen=True)
class Made:
    """A cell and all that makes it, as it is now. code: see Record."""

    cell: Cell
    identity: Mapping[str, str]
    code: Mapping[str, Hashes]


def earlier(wanted: Iterable[Made], records: Iterable[Record]) -> Iterator[tuple[str, str]]:
    """For each cell of which a record is there that differs in nothing but what made it: the
    cell's label, and what has changed since, as "a.py changed and the data changed"."""
    found: dict[tuple[object, ...], list[Record]] = {}
    for record in records:
        if record.status == "done":
            found.setdefault(_place(record), []).append(record)
    for made in wanted:
        like = [each for each in found.get(_place(made.cell), []) if _same_settings(made, each)]
        if like:
            yield made.cell.label(), and_(_since(made, max(like, key=lambda each: each.finished)))


def outdated(records: Iterable[Record], files: Files) -> Iterator[tuple[str, str]]:
    """For each record of another protocol or of other code than the files hold now: its label and
    what has changed. Plug-ins whose files cannot be seen from here are not judged."""
    now = {
        key: {name: hash_of(path) for name, path in each.items() if path.is_file()}
        for key, each in files.items()
    }
    for record in records:
        changed = _protocol(record)
        for kind, before in record.code.items():
            present = now.get((kind, str(getattr(record, kind, ""))))
            if present:
                changed += differences(before, present)
        if record.status == "done" and changed:
            yield f"{record.method} on {record.dataset}, seed {record.seed}", and_(changed)


def together(found: Iterable[tuple[str, str]]) -> Iterator[tuple[str, int, str]]:
    """The first label of each reason, how many more have it, and the reason; most first."""
    by_reason = sorted(found, key=lambda each: each[1])
    groups = [(why, [label for label, _ in each]) for why, each in groupby(by_reason, _second)]
    for why, labels in sorted(groups, key=lambda each: -len(each[1])):
        yield labels[0], len(labels) - 1, why


def told(found: Iterable[tuple[str, str]]) -> Iterator[str]:
    """A sentence for each reason why cells are computed anew."""
    for label, more, why in together(found):
        if more:
            yield (
                f"{label}, and {more} more: records of them are there, made before {why}; "
                "they are computed anew."
            )
        else:
            yield f"{label}: a record of it is there, made before {why}; it is computed anew."


def _second(pair: tuple[str, str]) -> str:
    return pair[1]


def _place(of: Cell | Record) -> tuple[object, ...]:
    return (of.method, of.strategy, of.dataset, of.scenario, of.backbone, of.seed)


def _settings(of: Cell | Record) -> dict[str, object]:
    training = of.training if isinstance(of, Record) else of.training.model_dump(mode="json")
    # An option of scenarios is in no record where it is off, whatever the code is.
    options = {name: field.default for name, field in ScenarioSettings.model_fields.items()}
    groups = (of.settings, options | of.scenario_settings, training, of.strategy_settings)
    return {f"{n}.{key}": value for n, each in enumerate(groups) for key, value in each.items()}


def _same_settings(made: Made, record: Record) -> bool:
    """A setting that one of them does not know has come or gone with the code."""
    now, before = _settings(made.cell), _settings(record)
    return all(now[key] == before[key] for key in now.keys() & before.keys())


def _since(made: Made, record: Record) -> list[str]:
    """What differs between a record and the cell as it would be made now."""
    changed = _protocol(record)
    # A record from before the files were kept has another hash of the same code.
    for kind in sorted(made.code.keys() & record.code.keys()):
        changed += differences(record.code[kind], made.code[kind])
    for key in sorted((made.identity.keys() & record.identity.keys()) - made.code.keys()):
        if made.identity[key] != record.identity[key]:
            changed.append(f"{WORDS.get(key, key)} changed")
    now, before = _settings(made.cell), _settings(record)
    for key in sorted(now.keys() ^ before.keys()):
        word = "added" if key in now else "removed"
        changed.append(f"the setting {key.partition('.')[2]} was {word}")
    return changed or ["the files of its code were recorded"]


def _protocol(record: Record) -> list[str]:
    if record.protocol == PROTOCOL:
        return []
    return [f"protocol {record.protocol} became protocol {PROTOCOL}"]
