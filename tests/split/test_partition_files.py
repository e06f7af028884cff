"""Partitions as files: what is written out comes back, and what is wrong is said in a sentence."""

from __future__ import annotations

import codecs
import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from benches import workbench
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pictures import class_tree

from fplbench.data import partition_files
from fplbench.data.partition_files import Holding
from fplbench.dataset import Data
from fplbench.errors import UserError
from fplbench.grid.expand import expand
from fplbench.grid.journal import Journal
from fplbench.grid.run import with_ids
from fplbench.grid.runner import run_cell
from fplbench.grid.validation import validation_rows
from fplbench.machine import process
from fplbench.plugins import registry
from fplbench.records.results import load_results
from fplbench.records.store import Store
from fplbench.scenario import Clients, Scenario
from fplbench.spec import Request
from fplbench.split.check import faults

SCENARIOS = registry.scenarios()
WRITTEN = [name for name, cls in SCENARIOS.classes.items() if not cls.wants]
# What a scenario cannot do without.
SUITED = {"domains": "shapes_domains", "federation": "digits+shapes"}
CAT, DOG = "train/cat/0.jpg", "train/dog/1.jpg"
TEST = "test/cat/0.jpg"
HEAD = "client,split,image\n"


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Data]:
    sets, cache = registry.datasets(), tmp_path_factory.mktemp("cache")
    names = ("shapes", *SUITED.values())
    return {name: sets.get(name)().load(None, cache) for name in names}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Data:
    folder = tmp_path_factory.mktemp("photos")
    class_tree(folder / "train", {"cat": 3, "dog": 3})
    class_tree(folder / "test", {"cat": 2, "dog": 2})
    return registry.datasets().get(f"folder:{folder}")().load(None, folder)


def made(name: str) -> Scenario:
    cls = SCENARIOS.get(name)
    return cls(cls.Config(**({"clients": 4} if "clients" in cls.Config.model_fields else {})))


def of_file(path: Path) -> Scenario:
    cls = SCENARIOS.get(f"file:{path}")
    return cls(cls.Config())


def own(clients: Clients) -> list[list[int]]:
    """Each client's test rows that count for `local`, of all exams."""
    return [
        [int(r) for e in clients.exams if "local" in e.questions
         for r in e.rows[c][e.questions["local"].counts[c]]]
        for c in range(len(clients.train_rows))
    ]  # fmt: skip


@pytest.mark.parametrize("ending", ["csv", "json"])
@pytest.mark.parametrize("name", WRITTEN)
def test_every_scenario_comes_back_from_its_file(
    name: str, ending: str, embedded: dict[str, Data], tmp_path: Path
) -> None:
    data = embedded[SUITED.get(name, "shapes")]
    path = tmp_path / f"split.{ending}"
    before = made(name).build(data, 3)
    partition_files.write(path, data, before)
    after = of_file(path).build(data, 0)
    assert list(faults(after, data)) == []
    assert after.client_names == before.client_names
    assert [r.tolist() for r in after.train_rows] == [r.tolist() for r in before.train_rows]
    assert own(after) == own(before)
    (shared,) = after.shared_exams
    assert shared.rows.tolist() == [list(range(len(data.test.labels)))]


def test_files_are_called_by_their_paths(photos: Data, tmp_path: Path) -> None:
    path = tmp_path / "split.csv"
    path.write_text(f"{HEAD}a,train,{CAT}\nb,train,{DOG}\na,test,{TEST}\n")
    clients = of_file(path).build(photos, 0)
    names = partition_files.names_of(photos.train.images)
    assert [[names[row] for row in rows] for rows in clients.train_rows] == [[CAT], [DOG]]
    assert own(clients)[1] == []


names = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), min_size=1, max_size=9
).filter(lambda text: text == partition_files.plain(text))


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    clients=st.lists(names, min_size=1, max_size=4, unique=True),
    images=st.lists(names, min_size=8, max_size=12, unique=True),
    form=st.sampled_from([".csv", ".json"]),
)
def test_any_names_come_back(
    clients: list[str], images: list[str], form: str, tmp_path: Path
) -> None:
    holdings = [
        Holding(client, tuple(images[number :: len(clients)]), tuple(images[:number]))
        for number, client in enumerate(clients, 1)
    ]
    path = tmp_path / f"any{form}"
    path.write_text(partition_files.text_of(path, holdings), encoding="utf-8", newline="")
    assert partition_files.read(path) == holdings


PLAIN = f"{HEAD}a,train,{CAT}\na,test,{TEST}\nb,train,{DOG}\n"


@pytest.mark.parametrize(
    "content",
    [
        PLAIN.encode(),
        codecs.BOM_UTF8 + PLAIN.encode(),
        PLAIN.encode("utf-16"),
        PLAIN.replace("\n", "\r\n").encode(),
        PLAIN.replace("/", "\\").encode(),
        f"Image,Client,Split,label\n{CAT},a,train,0\n{TEST},a,test,0\n{DOG},b,train,1\n\n".encode(),
    ],
    ids=["plain", "mark", "utf-16", "line ends", "backslashes", "columns"],
)
def test_files_from_elsewhere_are_the_same_partition(
    content: bytes, photos: Data, tmp_path: Path
) -> None:
    path, wanted = tmp_path / "other.csv", tmp_path / "plain.json"
    path.write_bytes(content)
    wanted.write_text(
        json.dumps({"a": {"train": [CAT], "test": [TEST]}, "b": {"train": [DOG]}}), "utf-8"
    )
    assert of_file(path).fingerprint() == of_file(wanted).fingerprint()
    rows = [r.tolist() for r in of_file(path).build(photos, 0).train_rows]
    assert rows == [r.tolist() for r in of_file(wanted).build(photos, 1).train_rows]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (PLAIN + "b,train,train/dog/9.jpg\n", "train/dog/9.jpg, which the data set does not have"),
        (PLAIN + f"b,train,{TEST}\n", f"{TEST}, which is a test image here"),
        (PLAIN + f"b,train,{CAT}\n", f"the training image {CAT} for a and for b"),
        (PLAIN + f"a,train,{CAT}\n", f"the train image {CAT} twice for a"),
        (PLAIN + "a,train,train\\cat\\0.jpg\n", f"the train image {CAT} twice for a"),
        (PLAIN + f"a,test,{TEST}\n", f"the test image {TEST} twice for a"),
        (PLAIN + f"c,test,{TEST}\n", "no training images for c"),
        (f"{HEAD}a,train,{CAT}\n", "has no test images"),
        (PLAIN + f"a,val,{DOG}\n", "line 5: the split is 'val', but must be train or test"),
        (PLAIN + "a,train\n", "line 5 has 2 values, but the first line 3"),
        (f"a,train,{CAT}\n", "must begin with the line client,split,image"),
        ("", "must begin with the line client,split,image"),
        (f"client,client,split,image\na,b,train,{CAT}\n", "has the column client twice"),
        (PLAIN + f",train,{DOG}2\n", "a client without a name"),
        (PLAIN.encode() + b"caf\xe9,train,x\n", "is not UTF-8 (byte"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    content: str | bytes, said: str, photos: Data, tmp_path: Path
) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError) as error:
        of_file(path).build(photos, 0)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[]", "it is no object of objects"),
        ("{", "in JSON"),
        ('{"a": {"train": ["x"]}, "a": {"train": ["y"]}}', "'a' stands there twice"),
        ('{"a": {"train": "x"}}', "train must be a list of images"),
        ('{"a": {"train": [true]}}', "train must be a list of images"),
        ('{"a": {"val": ["x"]}}', "the split is 'val'"),
    ],
)
def test_json_of_another_form_is_refused(content: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    path.write_text(content)
    with pytest.raises(UserError, match=said):
        partition_files.read(path)


def test_a_file_that_is_none_is_refused(tmp_path: Path, embedded: dict[str, Data]) -> None:
    with pytest.raises(UserError, match="needs a PATH: write file:PATH"):
        SCENARIOS.get("file")
    with pytest.raises(UserError, match="cannot be read"):
        partition_files.read(tmp_path / "nowhere.csv")
    with pytest.raises(UserError, match=r"end in \.csv or \.json"):
        partition_files.read(tmp_path / "split.txt")
    (tmp_path / "rows.json").write_text('{"a": {"train": [0, 99999], "test": [0]}}')
    with pytest.raises(UserError, match="they are rows, from 0 to"):
        of_file(tmp_path / "rows.json").build(embedded["shapes"], 0)


def test_in_validation_a_client_is_tested_on_its_own_held_out_images(
    embedded: dict[str, Data], tmp_path: Path
) -> None:
    data, path = embedded["shapes"], tmp_path / "split.csv"
    partition_files.write(path, data, made("iid").build(data, 0))
    fit, held = validation_rows(data.train.labels, 1)
    view = replace(data, train=data.train.part(fit), test=data.train.part(held))
    whole, cut = of_file(path).build(data, 0), of_file(path).build(view, 0)
    for before, rows, tested in zip(whole.train_rows, cut.train_rows, own(cut), strict=True):
        assert fit[rows].tolist() == [row for row in before if row in set(fit)]
        assert held[tested].tolist() == [row for row in before if row in set(held)]


def test_a_cell_hangs_on_what_is_in_the_file_and_not_on_its_place(tmp_path: Path) -> None:
    """The numbers are those of the scenario that was written down, to the bit."""
    process.full_precision()
    bench = workbench(tmp_path / "cache")
    plain = {"clients": 4, "rounds": 1, "local_epochs": 1}
    data = bench.data("digits")
    split = expand(_request("iid", **plain), bench)[0]
    partition_files.write(tmp_path / "a.csv", data, bench.scenario(split).build(data, 0))
    text = (tmp_path / "a.csv").read_text()
    partition_files.write(tmp_path / "b" / "a.json", data, bench.scenario(split).build(data, 0))
    (tmp_path / "c.csv").write_text(text.rsplit("\n", 2)[0] + "\n")
    del plain["clients"]
    cells = [
        expand(_request(f"file:{tmp_path / name}", **plain), bench)[0]
        for name in ("a.csv", "b/../a.csv", "b/a.json", "c.csv")
    ]
    ids = [with_ids([cell], bench)[0].id for cell in cells]
    assert ids[0] == ids[1] == ids[2] != ids[3]
    assert "_file_" in ids[0]
    before, first, second = (
        run_cell(cell, bench, Journal(tmp_path / "work", "cell")).record
        for cell in (split, cells[0], cells[2])
    )
    for after in (first, second):
        assert after.status == "done", after.error
        assert after.metrics == before.metrics
        assert after.label_counts == before.label_counts
    assert second.words == "4 clients as a.json has them"
    # Methods that were run by several paths stand in one table.
    store = Store(tmp_path / "store")
    for record in (first, second.model_copy(update={"id": "other", "method": "coop"})):
        store.write(record, pd.DataFrame(), {})
    assert set(load_results(store.root)["scenario"]) == {f"file:{tmp_path / 'a.csv'}"}


def _request(scenario: str, **options: object) -> Request:
    return Request(
        methods=("promptfl",), datasets=("digits",), scenarios=(scenario,), options=options
    )
