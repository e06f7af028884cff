"""The README's table and sentences are those of the committed records, whatever these say."""

from __future__ import annotations

import re
from pathlib import Path

import demo_words
import grid_table
import pytest
from demo_words import END, START, block, replaced
from make_records import make_record

from fplbench.plugins import registry
from fplbench.records import packed
from fplbench.records.record import Metric, Record

METHODS = ("zeroshot", "coop", "promptfl", "fedotp", "pfedprompt", "fedpgp")
# method -> (local, local_own, novel, domains)
NUMBERS = {
    "zeroshot": (60, 86, 60, 63),
    "coop": (76, 90, 52, 70),
    "promptfl": (64, 87, 61, 75),
    "fedotp": (70, 88, 55, 70),
    "pfedprompt": (66, 87, 58, 78),
    "fedpgp": (69, 88, 56, 66),
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return written(tmp_path, NUMBERS)


def written(folder: Path, numbers: dict[str, tuple[float, ...]], seeds: int = 5) -> Path:
    """A demo of these means; seeds wander by a third of a point, alike on all methods but for a
    small part."""
    records = [
        record
        for place, method in enumerate(METHODS)
        for seed in range(seeds)
        for record in cells(method, seed, numbers[method], place)
    ]
    return packed.write(records, folder / "demo.jsonl")


def cells(method: str, seed: int, means: tuple[float, ...], place: int) -> list[Record]:
    moved = 0.3 * (seed % 3) + 0.1 * ((seed * (place + 2)) % 4 if place else 0)
    local, own, novel, domains = (mean + moved for mean in means)
    classes = {"local": local, "local_own": own, "base": local, "novel": novel, "hm": local}
    styles = {"domains": domains, "global_domains": domains}
    return [
        make_record(method, *where, seed, metrics={n: Metric(mean=v) for n, v in values.items()})
        for where, values in (
            (("shapes", "base2novel"), classes),
            (("shapes_domains", "domains"), styles),
        )
    ]


def test_the_readme_says_what_the_committed_records_say() -> None:
    readme = demo_words.README.read_text()
    made = replaced(readme, block(demo_words.FILE))
    assert readme == made, f"run PYTHONPATH=tests/support python -m {demo_words.__name__}"


def test_make_reference_runs_every_method() -> None:
    makefile = (demo_words.ROOT / "Makefile").read_text()
    named = re.findall(r"^(?:DIGITS|OTHERS) = --methods (\S+)", makefile, re.MULTILINE)
    assert sorted(",".join(named).split(",")) == sorted(registry.methods().classes)


def test_the_table_of_all_methods_is_that_of_the_reference() -> None:
    readme = demo_words.README.read_text()
    made = grid_table.block(grid_table.FILE)
    assert readme == replaced(readme, made, grid_table.START, grid_table.END)
    assert len(grid_table.whole(grid_table.FILE)) > len(METHODS)


def test_a_changed_digit_or_record_shows(file: Path, tmp_path: Path) -> None:
    readme = replaced(f"# Title\n\n{START}\n{END}\n\nRest\n", block(file))
    assert replaced(readme, block(file)) == readme
    assert readme.startswith("# Title\n")
    assert readme.endswith(f"{END}\n\nRest\n")
    wrong = readme.replace("16.", "17.", 1)
    assert wrong != readme
    assert replaced(wrong, block(file)) == readme
    other = written(tmp_path / "other", NUMBERS | {"coop": (77, 90, 52, 70)})
    assert replaced(readme, block(other)) != readme
    with pytest.raises(ValueError, match="lacks"):
        replaced("# Title\n", block(file))


def test_sentences_follow_the_numbers(file: Path) -> None:
    text = block(file)
    assert "| coop | **76" in text
    assert "coop gains 16.1 points on zeroshot (" in text
    assert "of the gain is knowing which classes the client holds" in text
    assert re.search(r"On `Novel` it loses [89]\.\d points to promptfl \(-\d", text)
    assert "On `Local` fedpgp lies between the two: it gains" in text
    assert re.search(r"promptfl gains [45]\.\d \(\d", text)
    assert re.search(r"; fedpgp loses [34]\.\d \(-\d", text)


def test_sentences_turn_where_the_numbers_turn(tmp_path: Path) -> None:
    swapped = NUMBERS | {"coop": NUMBERS["promptfl"], "promptfl": NUMBERS["coop"]}
    text = block(written(tmp_path, swapped))
    assert "coop loses" in text.split("Alone or shared")[1].split("\n")[0]
    assert "On `Novel` it gains" in text
    same = NUMBERS | {"coop": NUMBERS["zeroshot"], "fedpgp": NUMBERS["coop"]}
    text = block(written(tmp_path, same))
    assert "coop is not told from zeroshot" in text
    assert "the gain" not in text.split("Knowing one's classes")[1].split("\n")[0]
    assert "lies between" not in text.split("In between?")[1].split("On `Novel`")[0]


def test_one_seed_makes_no_sentences(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="two seeds"):
        block(written(tmp_path, NUMBERS, seeds=1))
