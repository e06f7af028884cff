"""What the registry takes, refuses and says; plug-ins are real files in a folder."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from plugin_texts import dataset_text, measure_text, method_text, scenario_text

import fplbench
from fplbench.errors import UserError
from fplbench.plugins import registry


@pytest.fixture(autouse=True)
def _no_folders_of_the_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(registry.PLUGINS_VARIABLE, raising=False)


def errors(found: registry.Found[Any]) -> dict[str, str]:
    return {broken.name: broken.error for broken in found.broken}


def test_every_built_in_plugin_keeps_the_contract() -> None:
    for found in (
        registry.methods(),
        registry.strategies(),
        registry.datasets(),
        registry.scenarios(),
        registry.metrics(),
        registry.executors(),
    ):
        assert [broken for broken in found.broken if broken.origin == registry.BUILT_IN] == []
        assert list(found.classes) == sorted(found.classes)


def test_every_built_in_module_offers_something() -> None:
    root = Path(fplbench.__file__).parent
    for folder, found in (
        ("methods", registry.methods()),
        ("datasets", registry.datasets()),
        ("scenarios", registry.scenarios()),
        ("metrics", registry.metrics()),
        ("strategies", registry.strategies()),
        ("executors", registry.executors()),
    ):
        files = {path.stem for path in (root / folder).glob("[!_]*.py")}
        modules = {
            cls.__module__.split(".")[2]
            for name, cls in found.classes.items()
            if found.origins[name] == registry.BUILT_IN
        }
        assert modules == files


def test_no_plugin_folder_is_imported_by_name() -> None:
    """methods/ and datasets/ are no packages, so the contracts of pyproject.toml do not see them;
    nor that a plug-in imports no other of its kind, nor that accuracy is the only metric that the
    core knows."""
    root = Path(fplbench.__file__).parent
    kinds = ("methods", "datasets", "scenarios", "strategies", "metrics")
    folders = (root, *(root / kind for kind in kinds))
    texts = {path: path.read_text() for folder in folders for path in folder.rglob("*.py")}
    assert root / "engine" / "train.py" in texts
    assert root / "methods" / "coop.py" in texts
    pattern = re.compile(
        r"^\s*(from|import) fplbench(\.| import )"
        r"(methods|datasets|scenarios|strategies|executors|metrics(?!\.accuracy))\b(?!\._)",
        re.MULTILINE,
    )
    found = {
        (path.parent.name, m[3]) for path, text in texts.items() for m in pattern.finditer(text)
    }
    assert found <= {("strategies", "strategies")}, "a strategy may build on another"


def test_a_folder_gives_methods_and_data_sets_with_their_files(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(method_text("mine"))
    (tmp_path / "b.py").write_text(dataset_text("my_images"))
    methods, datasets = registry.methods([tmp_path]), registry.datasets([tmp_path])
    assert methods.get("mine").title == "A method for a test"
    assert methods.origins["mine"] == str(tmp_path / "a.py")
    assert datasets.get("my_images").summary == "A data set for a test"
    assert "my_images" not in methods.classes
    assert not methods.broken
    assert not datasets.broken


def test_a_second_look_gives_the_same_class(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(method_text("mine"))
    first = registry.methods([tmp_path]).get("mine")
    assert registry.methods([tmp_path]).get("mine") is first


def test_a_file_added_later_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(method_text("mine"))
    registry.methods([tmp_path])
    (tmp_path / "b.py").write_text(method_text("later"))
    assert "later" in registry.methods([tmp_path]).classes


def test_two_folders_may_hold_files_of_one_name(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
        (folder / "a.py").write_text(method_text(f"of_{folder.name}"))
    assert {"of_one", "of_two"} <= set(registry.methods(folders).classes)


def test_variants_share_a_file_and_helpers_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "_helper.py").write_text("VALUE = 3\n")
    (tmp_path / "notes.py").write_text("VALUE = 4\n")
    (tmp_path / "a.py").write_text(
        "from ._helper import VALUE\n"
        + method_text("mine")
        + "\n\nclass Variant(Mine):\n    name = 'mine_too'\n"
        + "\n\nclass _Base(Mine):\n    name = 'Not A Name'\n"
    )
    found = registry.methods([tmp_path])
    assert {"mine", "mine_too"} <= set(found.classes)
    assert not found.broken


def test_folders_come_from_the_variable_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
        (folder / "a.py").write_text(method_text(f"of_{folder.name}"))
    monkeypatch.setenv(registry.PLUGINS_VARIABLE, os.pathsep.join(map(str, folders)))
    found = registry.methods([folders[0]])
    assert {"of_one", "of_two"} <= set(found.classes)
    assert not found.broken


@pytest.mark.parametrize(
    ("made", "problem"), [("nothing", "does not exist"), ("file", "is not a folder")]
)
def test_a_wrong_folder_is_refused(tmp_path: Path, made: str, problem: str) -> None:
    path = tmp_path / "plugins"
    if made == "file":
        path.touch()
    with pytest.raises(UserError, match=problem):
        registry.methods([path])


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("import no_such_library\n", "No module named 'no_such_library' (bad.py, line 1)"),
        ("x = 1\nraise SystemExit('bye')\n", "SystemExit: bye (bad.py, line 2)"),
        ("def f(:\n", "SyntaxError"),
    ],
)
def test_a_file_that_does_not_import_is_named_and_the_others_work(
    tmp_path: Path, text: str, error: str
) -> None:
    (tmp_path / "bad.py").write_text(text)
    (tmp_path / "good.py").write_text(method_text("good"))
    found = registry.methods([tmp_path])
    assert "good" in found.classes
    assert [broken.origin for broken in found.broken] == [str(tmp_path / "bad.py")]
    assert error in errors(found)["bad"]
    assert "\n" not in errors(found)["bad"]
    assert registry.datasets([tmp_path]).broken == found.broken


def test_a_file_that_is_mended_works_at_the_next_look(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("raise ValueError('not yet')\n")
    assert "not yet" in errors(registry.methods([tmp_path]))["a"]
    path.write_text(method_text("mine"))
    assert "mine" in registry.methods([tmp_path]).classes


@pytest.mark.parametrize(
    ("text", "name", "error"),
    [
        (method_text("My Method"), "My Method", "small letters"),
        (method_text("").replace("    name = ''\n", ""), "Mine", "it is missing"),
        (method_text().replace('"A method for a test"', "''"), "mine", "Mine.title"),
        (method_text(methods=("init",)), "mine", "must define logits"),
        (method_text(config="Config = dict"), "mine", "Mine.Config must be a subclass"),
        (
            method_text(config="class Config(Settings):\n        a: int\n        b: int = 1"),
            "mine",
            "needs a default: a",
        ),
        (
            method_text(extra="inputs = frozenset({'pixel'})"),
            "mine",
            "some of mirrored, norms, patches, pixels",
        ),
        (method_text(extra="inputs = {'pooled'}"), "mine", "must be a frozenset"),
        (
            method_text(extra="step_inputs = frozenset({'patches'})"),
            "mine",
            "step_inputs must be a frozenset of some of its inputs",
        ),
        (
            method_text(extra="def texts(self, task): return ()"),
            "mine",
            "Mine.texts is a name of the contract's own",
        ),
        (method_text(extra="parts = 3"), "mine", "Mine.parts is a name of the contract's own"),
        (method_text(extra="variants = ['a']"), "mine", "variants must map a name to settings"),
        (
            method_text(extra="variants = {'weak': {'strenght': 0.1}}"),
            "mine",
            "Mine cannot be made with weak: ValidationError: 1 validation error for Config",
        ),
        (
            method_text(extra="def __init__(self, config): raise KeyError(config.strength)"),
            "mine",
            "Mine cannot be made with its defaults: KeyError: 1.0 (a.py, line 9)",
        ),
    ],
)
def test_a_method_that_breaks_the_contract_is_named_with_its_error(
    tmp_path: Path, text: str, name: str, error: str
) -> None:
    (tmp_path / "a.py").write_text(text)
    found = registry.methods([tmp_path])
    assert list(errors(found)) == [name]
    assert error in errors(found)[name]
    assert "mine" not in found.classes


def test_a_data_set_that_breaks_the_contract_is_named_with_its_error(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(dataset_text().replace("def load", "def loads"))
    assert errors(registry.datasets([tmp_path])) == {"my_images": "Mine must define load"}


def test_a_scenario_whose_argument_is_in_no_cells_id_is_refused(tmp_path: Path) -> None:
    wants = "wants = 'NUMBER'"
    told = f"{wants}\n    def fingerprint(self): return self.argument"
    for name, extra in (("silent", wants), ("told", told)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.py").write_text(scenario_text(extra=extra))
    said = errors(registry.scenarios([tmp_path / "silent"]))["mine"]
    assert said.startswith("Mine.fingerprint must tell one NUMBER from another")
    assert errors(registry.scenarios([tmp_path / "told"])) == {}


def test_the_second_plugin_of_a_name_is_broken_and_says_whose_name_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(method_text("mine", class_name="First"))
    (tmp_path / "b.py").write_text(method_text("mine", class_name="Second"))
    found = registry.methods([tmp_path])
    assert found.get("mine").__name__ == "First"
    [broken] = found.broken
    assert broken.origin == str(tmp_path / "b.py")
    assert str(tmp_path / "a.py") in broken.error
    assert "give Second another" in broken.error


def test_a_wrong_name_suggests_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(method_text("promptwizard"))
    with pytest.raises(UserError, match=r"no method 'PromptWizzard'; did you mean 'promptwizard'"):
        registry.methods([tmp_path]).get("PromptWizzard")


def test_a_name_like_no_other_lists_those_there_are(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(method_text("mine"))
    (tmp_path / "zzz.py").write_text("raise ValueError('broken')\n")
    with pytest.raises(UserError, match=r"known: .*mine.*Not loaded because of errors: zzz"):
        registry.methods([tmp_path]).get("0123456789")


@pytest.mark.parametrize("asked", ["my_method", "mymethod"])
def test_the_name_of_a_broken_plugin_shows_its_error(tmp_path: Path, asked: str) -> None:
    (tmp_path / "my_method.py").write_text("raise ValueError('of its own')\n")
    with pytest.raises(UserError, match=r"my_method.* cannot be used: ValueError: of its own"):
        registry.methods([tmp_path]).get(asked)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("headline = ()", "Mine.headline must be a tuple"),
        ("trade_off = ('local',)", "Mine.trade_off must be a tuple with the names of two metrics"),
        ("training_defaults = {'epochs': 3}", "no setting of the training: epochs"),
        ("summary = ' '", "Mine.summary must be a text that is not empty"),
        ("Config = make('lr', 0.1)", "Mine.Config has settings of the training: lr"),
        ("Config = make('clients', ...)", "every field of Mine.Config needs a default: clients"),
        ("Config = dict", "Mine.Config must be a subclass of fplbench.plugins.base.Settings"),
        ("describe = Scenario.describe", "Mine must define describe"),
    ],
)
def test_a_scenario_that_breaks_the_contract_is_named_with_its_error(
    tmp_path: Path, line: str, sentence: str
) -> None:
    (tmp_path / "a.py").write_text(scenario_text(extra=line))
    (tmp_path / "b.py").write_text(scenario_text("sound"))
    found = registry.scenarios([tmp_path])
    assert sentence in errors(found)["mine"]
    assert "sound" in found.classes


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("meaning = ''", "Mine.meaning must be a text that is not empty"),
        ("unit = None", "Mine.unit must be a str"),
        ("lower_is_better = 1", "Mine.lower_is_better must be a bool"),
        ("decimals = -1", "Mine.decimals must be a whole number from 0 to 6"),
        ("value = Measure.value", "Mine must define value"),
    ],
)
def test_a_measure_that_breaks_the_contract_is_named_with_its_error(
    tmp_path: Path, line: str, sentence: str
) -> None:
    text = measure_text("mine", extra=line)
    (tmp_path / "a.py").write_text("from fplbench.plugins.measure import Measure\n" + text)
    (tmp_path / "b.py").write_text(measure_text("sound"))
    found = registry.metrics([tmp_path])
    assert sentence in errors(found)["mine"]
    assert {"sound", "accuracy"} <= set(found.classes)
