"""A cell that is computed though a record of it seems to be there, and what is said of it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import call
from make_records import make_record, write_done
from plugin_texts import dataset_text, method_text

from fplbench.grid import plan
from fplbench.grid.plan import Planned
from fplbench.grid.stale import Made, earlier, outdated, told
from fplbench.plugins.provenance import hash_of
from fplbench.records.record import Record
from fplbench.records.store import Store
from fplbench.spec import PROTOCOL, Cell, Training

IDENTITY = {"method": "m1", "dataset": "d1", "data": "x", "split": "theirs", "weights": "w"}
CODE = {"method": {"_helper.py": "1", "mine.py": "1"}, "dataset": {"images.py": "1"}}


def cell(seed: int = 0, **settings: object) -> Cell:
    return Cell(
        method="mine",
        settings={"n_ctx": 4} | settings,
        dataset="images",
        scenario="iid",
        scenario_settings={"clients": 2},
        training=Training(rounds=3),
        backbone="tiny",
        seed=seed,
    )


def record(of: Cell, **changes: object) -> Record:
    """A done record of a cell, made by IDENTITY and CODE unless `changes` say otherwise."""
    made = {"identity": IDENTITY, "code": CODE, "protocol": PROTOCOL}
    return make_record().model_copy(update=of.model_dump(mode="json") | made | changes)


def said(records: list[Record], *cells: Cell, **identity: str) -> list[str]:
    return list(told(earlier([Made(each, IDENTITY | identity, CODE) for each in cells], records)))


HELPER = {"_helper.py": "2", "mine.py": "1"}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"code": CODE | {"method": HELPER}}, "_helper.py changed"),
        ({"code": CODE | {"dataset": {"images.py": "2"}}}, "images.py changed"),
        ({"code": CODE | {"method": {"mine.py": "1"}}}, "_helper.py was added"),
        ({"identity": IDENTITY | {"data": "y"}}, "the data changed"),
        (
            {"identity": IDENTITY | {"split": "ours", "weights": "v"}},
            "the source of the split changed and the weights of the backbone changed",
        ),
        ({"protocol": 1, "code": {}}, f"protocol 1 became protocol {PROTOCOL}"),
        ({"settings": {}}, "the setting n_ctx was added"),
        ({"settings": {"n_ctx": 4, "old": 1}}, "the setting old was removed"),
        ({"code": {}}, "the files of its code were recorded"),
    ],
)
def test_what_changed_since_a_record_is_named(changes: dict[str, object], why: str) -> None:
    line = f"mine on images, seed 0: a record of it is there, made before {why}; "
    assert said([record(cell(), **changes)], cell()) == [line + "it is computed anew."]


def test_a_record_of_another_cell_says_nothing() -> None:
    old = {"code": CODE | {"method": HELPER}}
    others = [record(cell(1), **old), record(cell(n_ctx=8), **old)]
    others += [record(cell(), dataset="others", **old), record(cell(), status="failed", **old)]
    assert said(others, cell()) == []


def test_an_option_that_is_off_has_not_come_or_gone_with_the_code() -> None:
    """It is in no cell's settings then."""
    noisy = cell().model_copy(update={"scenario_settings": {"clients": 2, "label_noise": 0.2}})
    assert said([record(noisy)], cell()) == []
    assert said([record(cell())], noisy) == []


def test_hundreds_of_cells_are_told_in_one_sentence_for_each_reason() -> None:
    helper, data = {"code": CODE | {"method": HELPER}}, {"identity": IDENTITY | {"data": "y"}}
    records = [record(cell(seed), **(data if seed == 7 else helper)) for seed in range(300)]
    first, second = said(records, *(cell(seed) for seed in range(300)))
    assert first == (
        "mine on images, seed 0, and 298 more: records of them are there, made before "
        "_helper.py changed; they are computed anew."
    )
    assert second.startswith("mine on images, seed 7: a record of it is there, made before the d")


def test_the_latest_of_several_records_is_compared() -> None:
    older = record(cell(), finished="2026-01-01", protocol=1)
    newer = record(cell(), finished="2026-01-02", code=CODE | {"method": HELPER})
    (line,) = said([newer, older], cell())
    assert "made before _helper.py changed;" in line


def test_code_that_cannot_be_seen_from_here_is_not_judged(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("x = 1\n")
    code = {"method": {"mine.py": hash_of(tmp_path / "mine.py"), "gone.py": "1"}}
    here = {("method", "mine"): {name: tmp_path / name for name in code["method"]}}
    away = {("method", "mine"): {name: tmp_path / "away" / name for name in code["method"]}}
    records = [record(cell(), code=code), record(cell(1), code=code, status="failed")]
    assert list(outdated(records, here)) == [("mine on images, seed 0", "gone.py was removed")]
    assert list(outdated(records, away)) == []
    assert list(outdated(records, {})) == []


def test_a_plan_of_before_the_code_was_kept_is_read(tmp_path: Path) -> None:
    cells = [Planned("a", "a cell")]
    plan.remember(tmp_path, cells, {("method", "mine"): {"mine.py": Path("mine.py")}})
    (path,) = (tmp_path / plan.FOLDER).glob("*.json")
    path.with_name("torn.json").write_text("[")
    old = path.with_name("old.json")
    old.write_text(json.dumps([vars(Planned("b", "an older cell"))]))
    assert plan.latest(tmp_path) == [Planned("b", "an older cell")]
    os.utime(old, (1, 1))
    assert plan.latest(tmp_path) == cells
    assert plan.known_files(tmp_path) == {("method", "mine"): {"mine.py": Path("mine.py")}}


Call = Callable[..., str]


@pytest.fixture
def say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Call:
    """say(arguments): all that the command line says."""
    monkeypatch.setenv("FPLBENCH_CACHE", str(tmp_path / "cache"))

    def said(*arguments: str | Path) -> str:
        code, *texts = call([str(each) for each in arguments], monkeypatch, capsys)
        assert code == 0
        return "".join(texts)

    return said


def test_a_helper_that_changes_makes_its_cells_anew_and_both_commands_say_so(
    tmp_path: Path, say: Call
) -> None:
    folder, out = tmp_path / "plugins", tmp_path / "out"
    folder.mkdir()
    (folder / "mine.py").write_text("from ._helper import SCALE\n" + method_text())
    (folder / "_helper.py").write_text("SCALE = 1\n")
    (folder / "images.py").write_text(dataset_text())
    what = ("--methods", "mine,zeroshot", "--datasets", "my_images", "--scenario", "iid")
    how = ("--clients", "1", "--rounds", "1", "--device", "cpu", "--out", out)

    assert "2 cells done" in say("run", *what, *how, "--plugins", folder)
    assert "stale" not in say("status", out)
    (folder / "_helper.py").write_text("# Others.\nSCALE = 1\n")
    assert "stale" not in say("status", out)
    (folder / "_helper.py").write_text("SCALE = 2\n")
    assert "stale: mine on my_images, seed 0, made before _helper.py changed\n" in say(
        "status", out
    )

    # Another folder, since modules that are loaded stay as they are in this process.
    changed = shutil.copytree(folder, tmp_path / "changed")
    line = "mine on my_images, seed 0: a record of it is there, made before _helper.py changed; it"
    dry = say("run", *what, *how, "--plugins", changed, "--dry-run")
    assert line in dry
    assert "2 cells: 1 to run" in dry
    again = say("run", *what, *how, "--plugins", changed)
    assert line in again
    assert "1 cell done, 1 were done before" in again
    after = say("run", *what, *how, "--plugins", changed)
    assert "Nothing to do" in after
    assert "made before" not in after

    codes = [each.code["method"] for each in Store(out).records() if each.method == "mine"]
    assert {tuple(code) for code in codes} == {("_helper.py", "mine.py")}
    assert len({code["_helper.py"] for code in codes}) == 2
    assert str(tmp_path) not in "".join(path.read_text() for path in out.glob("*/record.json"))
    # Both are kept, and a table tells them apart.
    say("tables", out)
    assert "A method for a test (method=" in (out / "tables" / "tables.md").read_text()


def test_status_names_records_of_an_older_protocol(tmp_path: Path, say: Call) -> None:
    store = Store(tmp_path)
    write_done(store, make_record(protocol=PROTOCOL))
    assert "stale" not in say("status", tmp_path)
    for seed in (1, 2):
        write_done(store, make_record(seed=seed, protocol=PROTOCOL - 1))
    text = say("status", tmp_path)
    assert f"and 1 more, made before protocol {PROTOCOL - 1} became protocol {PROTOCOL}" in text
    assert "computes their cells anew" in text
