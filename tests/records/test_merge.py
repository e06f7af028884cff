"""Packs and folders of results become one pack; what cannot be joined is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import call
from make_records import make_record, write_done, write_stopped

from fplbench import load_results
from fplbench.records import packed
from fplbench.records.merge import merge
from fplbench.records.record import Failure, Metric, Record
from fplbench.records.results import read_cells
from fplbench.records.store import Store

Run = Callable[..., tuple[int | str | None, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)
    return lambda *words: call([*map(str, words)], monkeypatch, capsys)


def moved(record: Record, points: float, name: str = "local") -> Record:
    """The same cell with one of its numbers elsewhere."""
    metric = record.metrics[name].model_copy(update={"mean": record.metrics[name].mean + points})
    return record.model_copy(update={"metrics": record.metrics | {name: metric}})


def sources(file: Path) -> dict[str, str]:
    return {record.id: record.source for _, record in read_cells(file)[0]}


def test_packs_and_folders_are_joined_and_each_cell_keeps_its_source(
    run: Run, tmp_path: Path
) -> None:
    ours, theirs, third = (Store(tmp_path / name) for name in ("ours", "theirs", "third"))
    both = make_record("promptfl")
    for store, own in ((ours, make_record("fedotp")), (theirs, make_record("promptfl", seed=1))):
        write_done(store, both)
        write_done(store, own)
    write_done(third, make_record("coop"))
    assert run("pack", ours.root, "-o", "a.jsonl.gz", "--by", " Ann,\n Ulm ")[0] == 0
    assert run("pack", theirs.root, "b.jsonl")[0] == 0
    code, out, err = run("merge", "a.jsonl.gz", "b.jsonl", third.root, "-o", "all.jsonl.gz")
    assert (code, err) == (0, "")
    assert "4 cells: all.jsonl.gz (2 of a.jsonl.gz, 2 of b.jsonl, 1 of" in out
    assert "1 were there more than once and agree" in out
    expected = {
        both.id: "Ann, Ulm",
        make_record("fedotp").id: "Ann, Ulm",
        make_record("promptfl", seed=1).id: "b.jsonl",
        make_record("coop").id: "third",
    }
    assert sources(tmp_path / "all.jsonl.gz") == expected
    # Once more through a merge and a pack, with another name: each keeps its own.
    assert run("merge", "all.jsonl.gz", ours.root, "-o", "c.jsonl")[0] == 0
    assert run("pack", "c.jsonl", "-o", "d.jsonl", "--by", "Bob")[0] == 0
    assert sources(tmp_path / "d.jsonl") == expected
    table = load_results(tmp_path / "d.jsonl").drop_duplicates("id").set_index("id")["source"]
    assert table.to_dict() == expected
    assert "Ann, Ulm" in run("show", "d.jsonl")[1]
    assert run("report", "d.jsonl", "-o", "r.html")[0] == 0
    assert '"source":"Ann, Ulm"' in (tmp_path / "r.html").read_text()


def test_seeds_of_one_setting_all_stay(tmp_path: Path) -> None:
    files = [
        packed.write([make_record(seed=seed)], tmp_path / f"{seed}.jsonl") for seed in range(3)
    ]
    merged = merge(files)
    assert sorted(record.seed for record in merged.records) == [0, 1, 2]
    assert (merged.twice, merged.conflicts) == (0, [])


@pytest.mark.parametrize(("points", "agrees"), [(0.049, True), (-0.049, True), (0.06, False)])
def test_one_cell_twice_agrees_to_rounding_or_is_named(
    points: float, agrees: bool, tmp_path: Path
) -> None:
    record = make_record()
    one, other = (
        packed.write([each], tmp_path / name)
        for each, name in ((record, "a.jsonl"), (moved(record, points), "b.jsonl"))
    )
    merged = merge([one, other])
    assert (merged.twice, len(merged.conflicts)) == ((1, 0) if agrees else (0, 1))
    assert [r.source for r in merged.records] == ["a.jsonl"]


def test_a_disagreement_writes_nothing_unless_the_first_is_to_stay(
    run: Run, tmp_path: Path
) -> None:
    record = make_record()
    packed.write([record], tmp_path / "a.jsonl")
    packed.write([moved(record, 2), make_record(seed=1)], tmp_path / "b.jsonl")
    run("pack", "b.jsonl", "-o", "b.jsonl", "--by", "Bob")
    code, _, err = run("merge", "a.jsonl", "b.jsonl", "-o", "all.jsonl")
    here, there = record.metrics["local"].mean, record.metrics["local"].mean + 2
    assert code == 1
    assert f"{record.id}: local {here:.2f} in a.jsonl, {there:.2f} in b.jsonl (Bob)" in err
    assert not (tmp_path / "all.jsonl").exists()
    code, out, err = run("merge", "a.jsonl", "b.jsonl", "-o", "all.jsonl", "--keep", "first")
    assert (code, record.id in err) == (0, True)
    assert "of 1 that do not the first was kept" in out
    kept = {r.id: r for _, r in read_cells(tmp_path / "all.jsonl")[0]}
    assert len(kept) == 2
    assert kept[record.id].metrics["local"].mean == pytest.approx(here, abs=0.001)


def test_two_records_in_one_folder_that_disagree_are_named_too(tmp_path: Path) -> None:
    record = make_record()
    write_done(Store(tmp_path / "runs" / "a"), record)
    write_done(Store(tmp_path / "runs" / "b"), moved(record, 1))
    assert len(merge([tmp_path / "runs"]).conflicts) == 1


def test_what_failed_gives_way_and_what_diverged_does_not(tmp_path: Path) -> None:
    record = make_record()
    write_done(Store(tmp_path / "done"), record)
    write_stopped(Store(tmp_path / "failed"), record, "failed")
    write_stopped(Store(tmp_path / "diverged"), record, "diverged")
    for names in (("failed", "done"), ("done", "failed")):
        merged = merge([tmp_path / name for name in names])
        assert [(r.status, r.source) for r in merged.records] == [("done", "done")]
        assert (merged.twice, merged.conflicts) == (1, [])
    merged = merge([tmp_path / "diverged", tmp_path / "done"])
    assert merged.conflicts == [
        f"{record.id}: diverged in {tmp_path / 'diverged' / record.id} (diverged), "
        f"done in {tmp_path / 'done' / record.id} (done)"
    ]
    assert merge([tmp_path / "diverged", tmp_path / "diverged"]).twice == 1


def test_records_without_a_common_metric_do_not_agree(tmp_path: Path) -> None:
    record = make_record()
    other = record.model_copy(update={"metrics": {"other": Metric(mean=3.0)}})
    files = [packed.write([r], tmp_path / f"{i}.jsonl") for i, r in enumerate((record, other))]
    assert "other in" in merge(files).conflicts[0]


def test_what_cannot_be_joined_is_refused_in_a_sentence_each(run: Run, tmp_path: Path) -> None:
    packed.write([make_record(), make_record("coop", protocol=1)], tmp_path / "a.jsonl")
    packed.write([make_record()], tmp_path / "b.jsonl")
    (tmp_path / "b.jsonl").write_text((tmp_path / "b.jsonl").read_text() + "<<<\n")
    folder = write_done(Store(tmp_path / "runs"), make_record())
    (folder / "record.json").write_text("{")
    code, _, err = run("merge", "a.jsonl", "b.jsonl", "runs", "-o", "all.jsonl")
    assert code == 2
    assert "a.jsonl: 1 of its cells were measured by version 1 of the protocol" in err
    assert "b.jsonl, line 3, is damaged" in err
    assert "record.json is damaged" in err
    assert "Nothing was merged." in err
    assert not (tmp_path / "all.jsonl").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["merge", "a.jsonl"], "Name one file to write"),
        (["merge", "a.jsonl", "-o", "all.txt"], "found by their ending"),
        (["merge", "nowhere", "-o", "b.jsonl"], "there are no results in nowhere"),
        (["merge", "empty", "-o", "b.jsonl"], "There are no records under empty"),
        (["pack", "a.jsonl", "b.jsonl", "-o", "c.jsonl"], "Name one file to write"),
        (["pack", "a.jsonl", "-o", "c.jsonl", "--by", " "], "--by is empty"),
    ],
)
def test_bad_input_is_one_sentence(
    run: Run, tmp_path: Path, words: list[str], sentence: str
) -> None:
    packed.write([make_record()], tmp_path / "a.jsonl")
    (tmp_path / "empty").mkdir()
    code, _, err = run(*words)
    assert code == 2
    assert sentence in err
    assert {path.name for path in tmp_path.iterdir()} == {"a.jsonl", "empty"}


def test_a_merge_into_one_of_its_files_or_folders_counts_no_cell_twice(
    run: Run, tmp_path: Path
) -> None:
    write_done(Store(tmp_path / "runs"), make_record())
    for _ in range(2):
        code, out, _ = run("merge", "runs", "-o", "runs/all.jsonl")
        assert (code, "1 cell" in out, "more than once" in out) == (0, True, False)
    packed.write([make_record(seed=1)], tmp_path / "b.jsonl")
    assert run("merge", "b.jsonl", "runs/all.jsonl", "-o", "runs/all.jsonl")[0] == 0
    assert len(read_cells(tmp_path / "runs" / "all.jsonl")[0]) == 2


def test_a_pack_with_sources_reads_where_nobody_knows_of_them(tmp_path: Path) -> None:
    """An older fplbench reads `packed`, `cells` and `shared` of the head and no other key."""
    record = make_record(error=Failure(kind="x", message="y"))
    plain = packed.write([record], tmp_path / "a.jsonl").read_text().split("\n")
    named = packed.write([record.model_copy(update={"source": "Ann"})], tmp_path / "b.jsonl")
    text = named.read_text().split("\n")
    assert text[1:] == plain[1:]
    assert text[0] == plain[0][:-1] + ',"sources":{"Ann":[0]}}'
    assert "source" not in record.model_copy(update={"source": "Ann"}).to_json()


def test_every_headline_metric_is_compared(tmp_path: Path) -> None:
    record = make_record()
    novel = record.metrics["novel"]
    apart = novel.model_copy(update={"mean": novel.mean + 1})
    other = record.model_copy(update={"metrics": record.metrics | {"novel": apart}})
    files = [packed.write([r], tmp_path / f"{n}.jsonl") for n, r in enumerate((record, other))]
    assert len(merge(files).conflicts) == 1
