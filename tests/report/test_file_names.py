"""Two names are two files, for every kind of file, on every file system."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from make_records import TITLES, make_record, write_done

from fplbench.data.overview import as_file
from fplbench.data.prepare import cache_of
from fplbench.records.results import load_results
from fplbench.records.store import Store
from fplbench.report.groups import file_name, free_name
from fplbench.report.plots import write_plots
from fplbench.report.tables import write_tables
from fplbench.spec import Cell, Training

PAIRS = [
    ("folder:a_b", "folder:a-b"),
    ("folder:\u732b", "folder:\u72d7"),  # cat and dog in Chinese
    ("folder:A", "folder:a"),
    ("folder:" + "x" * 300 + "1", "folder:" + "x" * 300 + "2"),
    ("aux", "nul"),
]


@pytest.mark.parametrize("pair", PAIRS)
def test_tables_and_plots_of_two_data_sets_are_files_of_their_own(
    tmp_path: Path, pair: tuple[str, str]
) -> None:
    store = Store(tmp_path / "r")
    for name in pair:
        for clients in (4, 8) if pair == PAIRS[0] else (4,):
            found = {"id": f"{pair.index(name)}-{clients}", "identity": {"data": f"of {name}"}}
            write_done(store, make_record("coop", name, "personal", clients=clients, **found))
    files = write_tables(load_results(tmp_path / "r"), tmp_path / "tables", TITLES)
    if pair in PAIRS[:2]:  # drawing takes seconds
        files += write_plots(tmp_path / "r", tmp_path / "plots", TITLES)
    assert len({str(path).lower() for path in files}) == len(files)
    for path in files:
        assert path.is_file()
        assert len(path.name) < 200
        assert re.fullmatch(r"[A-Za-z0-9=-]+\.[a-z]+", path.name)


@given(st.text(), st.text())
@example("caf\u00e9", "caf")
@example("", "-")
def test_names_that_lose_letters_stay_apart(one: str, other: str) -> None:
    names = [file_name(one), file_name(other)]
    for text, name in zip((one, other), names, strict=True):
        assert re.fullmatch(r"[A-Za-z0-9=-]{1,80}", name)
        assert file_name(text) == name
    taken: set[str] = set()
    free = [free_name(name, taken) for name in names]
    assert free[0].lower() != free[1].lower()


@pytest.mark.parametrize("name", ["con", "PRN", "aux", "nul", "com1", "lpt9"])
def test_no_file_is_called_like_a_device_of_windows(name: str) -> None:
    assert file_name(name).lower() != name.lower()
    assert file_name(f"{name}x") == f"{name}x"


def test_what_was_a_name_before_still_is() -> None:
    assert file_name("personal-alpha=0.5-clients=10") == "personal-alpha=0p5-clients=10"
    assert file_name("base2novel, folder:a/b") == "base2novel-folder-a-b"


@pytest.mark.parametrize("pair", [*PAIRS[:2], PAIRS[3], ("folder:a/b", "folder:a-b")])
def test_sheets_and_caches_of_two_data_sets_are_two(tmp_path: Path, pair: tuple[str, str]) -> None:
    assert len({as_file(name).lower() for name in pair}) == 2
    assert all(len(as_file(name)) < 150 for name in pair)
    assert cache_of(pair[0], tmp_path) != cache_of(pair[1], tmp_path)
    assert as_file("folder:photos") == "folder-photos"


def test_an_id_is_a_name_on_every_file_system_and_short_ones_stay() -> None:
    def cell(dataset: str, backbone: str = "tiny") -> str:
        return Cell(
            method="zeroshot",
            settings={},
            dataset=dataset,
            scenario="iid",
            scenario_settings={},
            training=Training(),
            backbone=backbone,
            seed=0,
        ).id({})

    assert cell("digits").startswith("zeroshot_digits_iid_tiny_s0_")
    long = "/".join(["x" * 60] * 5)
    ids = {cell(f"folder:{long}/{end}", f"ViT-B-16:{long}/w.pt") for end in ("cats", "dogs")}
    assert len(ids) == 2
    for each in ids:
        assert len(each) < 200
        assert "-cats_" in each or "-dogs_" in each


def test_one_data_set_by_two_paths_is_one_column(tmp_path: Path) -> None:
    """Also of records that were made before paths were made plain, or in another folder."""
    store = Store(tmp_path)
    names = ["folder:d", "folder:./d", "folder:/home/me/d/", "folder:e"]
    for seed, name in enumerate(names):
        identity = {"data": name[-1] if name[-1] == "e" else "d", "split": "seeded"}
        write_done(store, make_record(dataset=name, seed=seed, id=f"{seed}", identity=identity))
    assert set(load_results(tmp_path)["dataset"]) == {"folder:d", "folder:e"}
