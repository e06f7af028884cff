"""Plug-ins from outside, as a user has them: a folder, and another installed package."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from environments import install, layered, run
from plugin_texts import dataset_text, method_text

PROJECT = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "tiny-plugins"
version = "2.3"

[project.entry-points."fplbench.methods"]
one_class = "tiny_plugins.methods:OfPackage"
whole_module = "tiny_plugins.more"
bad_import = "tiny_plugins.absent"
bad_kind = "tiny_plugins.images:Mine"

[project.entry-points."fplbench.datasets"]
images = "tiny_plugins.images"

[tool.setuptools]
packages = ["tiny_plugins"]
"""

LIST = """\
import json
from fplbench.plugins import registry
print(json.dumps([
    [sorted(found.classes), found.origins, [[b.name, b.origin, b.error] for b in found.broken]]
    for found in (registry.methods(), registry.datasets())
]))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The python of an environment with a package that brings plug-ins."""
    project = tmp_path_factory.mktemp("project")
    package = project / "tiny_plugins"
    package.mkdir()
    (project / "pyproject.toml").write_text(PROJECT)
    (package / "__init__.py").touch()
    (package / "methods.py").write_text(method_text("of_package", class_name="OfPackage"))
    (package / "more.py").write_text(method_text("of_module"))
    (package / "images.py").write_text(dataset_text("images_of_package"))
    python = layered(tmp_path_factory.mktemp("environment"), with_links=True)
    install(python, project)
    return python


def test_a_package_and_a_folder_bring_plugins_beside_the_built_in_ones(
    python: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "own.py").write_text(method_text("of_folder"))
    (folder / "taken.py").write_text(method_text("of_package"))
    text = run(python, "-c", LIST, cwd=tmp_path, FPLBENCH_PLUGINS=str(folder))
    (methods, origins, broken), (datasets, dataset_origins, broken_datasets) = json.loads(text)

    assert {"of_package", "of_module", "of_folder"} <= set(methods)
    assert origins["of_module"] == "tiny-plugins 2.3"
    assert origins["of_folder"] == str(folder / "own.py")
    assert "images_of_package" in datasets
    assert dataset_origins["images_of_package"] == "tiny-plugins 2.3"
    assert broken_datasets == []

    # A folder comes before a package, so it is the package's method that loses the name.
    assert origins["of_package"] == str(folder / "taken.py")
    by_name = {name: (origin, error) for name, origin, error in broken}
    assert set(by_name) == {"of_package", "bad_import", "bad_kind"}
    assert "is taken" in by_name["of_package"][1]
    assert by_name["bad_import"][0] == "tiny-plugins 2.3"
    assert "No module named 'tiny_plugins.absent'" in by_name["bad_import"][1]
    assert "no subclass of Method" in by_name["bad_kind"][1]


def test_the_command_line_lists_and_runs_them_like_built_in_ones(
    python: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "own.py").write_text(method_text("of_folder"))
    (folder / "bad.py").write_text("import no_such_library\n")
    fplbench = (python, "-m", "fplbench")
    plugins = ("--plugins", folder)

    listed = run(*fplbench, "list", "methods", *plugins, cwd=tmp_path, COLUMNS="400")
    for name, origin in (
        ("of_folder", str(folder / "own.py")),
        ("of_package", "tiny-plugins 2.3"),
        ("promptfl", "built in"),
        ("bad", "No module named 'no_such_library' (bad.py, line 1)"),
    ):
        [line] = [line for line in listed.splitlines() if name in line.split()[:3]]
        assert origin in line

    what = ("--methods", "of_folder,of_package,zeroshot", "--datasets", "images_of_package")
    how = ("--scenario", "iid", "--clients", "1", "--rounds", "2", "--local-epochs", "1")
    where = ("--out", tmp_path / "results")
    cache = str(tmp_path / "cache")
    run(*fplbench, "run", *what, *how, *where, *plugins, cwd=tmp_path, FPLBENCH_CACHE=cache)
    records = [json.loads(path.read_text()) for path in tmp_path.glob("results/*/record.json")]
    done = {record["method"] for record in records if record["status"] == "done"}
    assert done == {"of_folder", "of_package", "zeroshot"}
