"""What a plug-in's version hangs on: its own code and what that imports around it, all of it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import pytest
from plugin_texts import dataset_text, method_text

from fplbench.errors import UserError
from fplbench.method import Method
from fplbench.plugins import provenance, registry

Texts = dict[str, str]
Make = Callable[..., type[Method]]

HELPED = {
    "mine.py": "from ._helper import SCALE\n" + method_text(),
    "_helper.py": "from ._numbers import ONE\n\nSCALE = 2 * ONE\n",
    "_numbers.py": '"""Numbers."""\n\nONE = 1\n',
    "other.py": "VALUE = 1\n",
}


def write(folder: Path, texts: Texts) -> Path:
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def of_folder(tmp_path: Path) -> Make:
    """of_folder(texts): the method `mine` of a new folder with these files."""
    count = iter(range(100))

    def make(texts: Texts, **changes: str) -> type[Method]:
        changed = {f"{name}.py": text for name, text in changes.items()}
        folder = write(tmp_path / f"folder{next(count)}", texts | changed)
        return registry.methods([folder]).get("mine")

    return make


def test_a_plugin_is_its_file_and_all_that_it_imports_beside_it(of_folder: Make) -> None:
    hashes = provenance.hashes(of_folder(HELPED))
    assert list(hashes) == ["_helper.py", "_numbers.py", "mine.py"]
    assert len(set(hashes.values())) == 3


def test_the_same_files_elsewhere_are_the_same_version(of_folder: Make) -> None:
    assert provenance.version(of_folder(HELPED)) == provenance.version(of_folder(HELPED))


@pytest.mark.parametrize(
    ("changes", "differences"),
    [
        ({"_helper": HELPED["_helper.py"].replace("2", "3")}, ["_helper.py changed"]),
        ({"_numbers": "ONE = 2\n"}, ["_numbers.py changed"]),
        ({"mine": HELPED["mine.py"].replace("torch.zeros", "torch.ones")}, ["mine.py changed"]),
        (
            {"_helper": "from .other import VALUE as SCALE\n"},
            ["_helper.py changed", "_numbers.py was removed", "other.py was added"],
        ),
        ({"other": "VALUE = 2\n"}, []),
        ({"new": "VALUE = 2\n"}, []),
        ({"_numbers": "# One.\nONE = 1  # one\n"}, []),
        ({"_numbers": '"""Others."""\n\nONE = 1\n"the first of all numbers"\n'}, []),
        ({"_numbers": "ONE   =   (\n    1\n)\n"}, []),
    ],
)
def test_code_counts_wherever_it_is_and_words_do_not(
    of_folder: Make, changes: Texts, differences: list[str]
) -> None:
    before, now = of_folder(HELPED), of_folder(HELPED, **changes)
    found = provenance.differences(provenance.hashes(before), provenance.hashes(now))
    assert found == differences
    assert (provenance.version(before) != provenance.version(now)) == bool(differences)


def test_docstrings_of_classes_and_functions_are_words(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.py", "b.py", "c.py")]
    text = "class A:\n    {}x = 1\n\n    async def f(self):\n        {}return self.x\n"
    paths[0].write_text(text.format("", ""))
    paths[1].write_text(text.format('"""A."""\n\n    ', "'F.'\n        "))
    paths[2].write_text(text.format("", "").replace("self.x", "'F.'"))
    first, second, third = map(provenance.hash_of, paths)
    assert first == second != third


def test_values_that_are_alike_in_a_tree_are_told_apart(tmp_path: Path) -> None:
    lines = ["case None: pass", "case False: pass", "case 0: pass", "case 0.0: pass"]
    found = set()
    for line in lines:
        (tmp_path / "a.py").write_text(f"match x:\n    {line}\n")
        found.add(provenance.hash_of(tmp_path / "a.py"))
    assert len(found) == len(lines)


@pytest.mark.parametrize(
    "line",
    [
        "from . import _helper",
        "from ._helper import *",
        "def late():\n    from ._helper import SCALE\n    return SCALE",
        "try:\n    from ._helper import SCALE\nexcept ImportError:\n    SCALE = 1",
        "from .deep import SCALE",
        "from .deep.inner import SCALE",
        "from .deep import *",
    ],
)
def test_every_way_to_import_is_followed(of_folder: Make, line: str) -> None:
    deep = {
        "deep/__init__.py": "from .inner import SCALE\n",
        "deep/inner.py": "from .._helper import SCALE\n",
    }
    mine = of_folder(HELPED | deep, mine=f"{line}\n{method_text()}")
    assert {"mine.py", "_helper.py", "_numbers.py"} <= set(provenance.hashes(mine))
    assert "other.py" not in provenance.hashes(mine)


CARELESS = """\
import numpy, torch.nn.functional

try:
    from . import _absent
except ImportError:
    pass


def late():
    from . import _torn, _circle
"""


def test_circles_missing_helpers_and_files_that_are_no_python_are_taken_as_they_are(
    of_folder: Make,
) -> None:
    texts = {
        "mine.py": CARELESS + method_text(),
        "_circle.py": "from .mine import Mine\nfrom . import _circle\n",
        "_torn.py": "def f(:\n",
    }
    before = of_folder(texts)
    assert list(provenance.hashes(before)) == ["_circle.py", "_torn.py", "mine.py"]
    now = of_folder(texts, _torn="def f(::\n", _absent="VALUE = 1\n")
    found = provenance.differences(provenance.hashes(before), provenance.hashes(now))
    assert found == ["_absent.py was added", "_torn.py changed"]


def test_a_base_class_brings_its_file_along(of_folder: Make) -> None:
    base = "from .base import Other\n\n\nclass Mine(Other):\n    name = 'mine'\n"
    other = method_text("other", class_name="Other")
    assert list(provenance.hashes(of_folder({"a.py": base, "base.py": other}))) == [
        "a.py",
        "base.py",
    ]


def test_a_plugin_on_top_of_a_built_in_one_names_both(of_folder: Make) -> None:
    text = (
        "from fplbench.plugins import registry\n\n\n"
        "class Mine(registry.methods().get('coop')):\n    name = 'mine'\n"
    )
    assert list(provenance.hashes(of_folder({"coop.py": text}))) == [
        "coop.py",
        "fplbench.methods/coop.py",
    ]
    borrowed = "import fplbench.methods.coop\nfrom fplbench import rng\n" + method_text()
    assert list(provenance.hashes(of_folder({"a.py": borrowed}))) == [
        "a.py",
        "fplbench.methods/coop.py",
    ]


def test_the_core_is_not_part_of_a_plugin_even_where_it_lies_beside_it(of_folder: Make) -> None:
    texts = {
        "mine.py": "import fplbench.clip.task, numpy\n" + method_text(),
        ".venv/lib/python3/site-packages/numpy.py": "",
    }
    assert list(provenance.hashes(of_folder(texts))) == ["mine.py"]


def test_a_helper_that_is_found_through_the_path_counts_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = {"mine.py": "import helper_of_path\n" + method_text(), "helper_of_path.py": "A = 1\n"}
    folder = write(tmp_path / "plugins", texts)
    monkeypatch.syspath_prepend(folder)
    mine = registry.methods([folder]).get("mine")
    assert list(provenance.hashes(mine)) == ["helper_of_path.py", "mine.py"]


@pytest.mark.parametrize("package", ["laboratory", "shared_name.laboratory"])
def test_a_package_is_followed_inside_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    """Also one inside a namespace that other packages share."""
    first = package.partition(".")[0]
    name = f"{first}{len(package)}{package.removeprefix(first)}"  # a test's modules stay loaded
    folder = name.replace(".", "/")
    write(
        tmp_path,
        {
            f"{folder}/__init__.py": "from .methods.all import Mine\n",
            f"{folder}/methods/__init__.py": "",
            f"{folder}/methods/all.py": f"import {name}.lib.net as net\nfrom {name} import tools\n"
            + method_text(),
            f"{folder}/lib/__init__.py": "WIDE = 1\n",
            f"{folder}/lib/net.py": "from . import WIDE\n",
            f"{folder}/tools.py": "",
            f"{folder}/unused.py": "",
            f"{first}{len(package)}/elsewhere.py": "",
        },
    )
    monkeypatch.syspath_prepend(tmp_path)
    mine = importlib.import_module(name).Mine
    assert list(provenance.hashes(mine)) == [
        "lib/__init__.py",
        "lib/net.py",
        "methods/all.py",
        "tools.py",
    ]


def test_a_module_in_no_package_stands_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, {"lonely.py": "import lonely_too\n" + method_text(), "lonely_too.py": ""})
    monkeypatch.syspath_prepend(tmp_path)
    assert list(provenance.hashes(importlib.import_module("lonely").Mine)) == ["lonely.py"]


def test_a_data_set_with_an_argument_is_the_code_of_its_class(tmp_path: Path) -> None:
    text = dataset_text().replace("summary =", "wants = 'PATH'\n    summary =")
    datasets = registry.datasets([write(tmp_path, {"a.py": text})])
    assert list(provenance.hashes(datasets.get("my_images:x"))) == ["a.py"]


def test_files_of_one_name_in_two_parts_are_two_files(tmp_path: Path) -> None:
    folders = [write(tmp_path / name, {"data.py": dataset_text(name)}) for name in ("one", "other")]
    joined = registry.datasets(folders).get("one+other")
    paths = provenance.files(joined)
    assert set(paths.values()) == {folder / "data.py" for folder in folders}
    assert "data.py" in paths


def test_every_built_in_plugin_is_its_own_file(tmp_path: Path) -> None:
    for found in (registry.methods(), registry.datasets()):
        for name, cls in found.classes.items():
            if found.origins[name] == registry.BUILT_IN:
                own = f"{cls.__module__.split('.')[-1]}.py"
                files = list(provenance.hashes(cls))
                assert own in files
                assert all(file == own or file.startswith("_") for file in files)


def test_a_class_of_no_file_is_refused() -> None:
    cls = type("Typed", (registry.methods().get("zeroshot"),), {"__module__": "nowhere"})
    with pytest.raises(UserError, match="Typed is defined in no file"):
        provenance.version(cls)
