"""The package as it leaves the checkout, and the checkout as others' imports see it."""

from __future__ import annotations

import re
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from environments import install, layered, run
from plugin_texts import dataset_text, method_text

import fplbench

ROOT = Path(__file__).parents[1]
BUILD = "import sys; from setuptools import build_meta; build_meta.build_{}(sys.argv[1])"
# Files that stand in for later ones, so that a rule of the build is tested before they exist.
PROBES = {
    "methods/probe_method.py": method_text("probe_method"),
    "datasets/probe_images.py": dataset_text("probe_images"),
    "fplbench/embedded/tiny/probe.json": "{}",
    "fplbench/embedded/tiny/probe.safetensors": "",
    "fplbench/report/templates/probe.tex": "",
}

LOOK = """\
import fplbench, sys
from fplbench.plugins import registry
print(fplbench.__file__, fplbench.__version__)
print(registry.methods().get("probe_method").__module__)
print(registry.datasets().get("probe_images").__module__)
from fplbench.report import reference
print(len(reference.read()[0]) > 2)
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what is built from, with the probes in it."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in ("pyproject.toml", "MANIFEST.in", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    if (ROOT / "README.md").exists():
        shutil.copy(ROOT / "README.md", copy)
    for name in ("fplbench", "methods", "datasets"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=ignored)
    (copy / "results" / "reference").mkdir(parents=True)
    for file in (ROOT / "results" / "reference").glob("*.jsonl.gz"):
        shutil.copy(file, copy / "results" / "reference")
    for name, text in PROBES.items():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text(text)
    return copy


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-c", BUILD.format("wheel"), folder, cwd=checkout)
    return next(folder.glob("*.whl"))


def contents(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


def test_a_wheel_holds_every_file_of_the_package_and_nothing_beside_it(
    checkout: Path, wheel: Path
) -> None:
    package = checkout / "fplbench"
    # Path.rglob does not follow the symlinks.
    roots = [package, *(package / name for name in ("methods", "datasets", "reference"))]
    wanted = {
        path.relative_to(checkout).as_posix()
        for root in roots
        for path in root.rglob("*")
        if path.is_file() and path.suffix not in {".md", ".pyc"}
    }
    assert {re.sub("^(methods|datasets)/", r"fplbench/\1/", name) for name in PROBES} <= wanted
    held = {name for name in contents(wheel) if ".dist-info/" not in name}
    assert wanted - held == set()
    assert {name.split("/")[0] for name in held} == {"fplbench"}


def test_a_wheel_names_its_licence_and_its_command(wheel: Path) -> None:
    info = f"fplbench-{fplbench.__version__}.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        metadata = archive.read(f"{info}/METADATA").decode()
        commands = archive.read(f"{info}/entry_points.txt").decode()
    assert f"{info}/licenses/LICENSE" in contents(wheel)
    assert "License-Expression: Apache-2.0" in metadata
    assert "fplbench = fplbench.cli.app:main" in commands


def test_a_wheel_made_from_the_source_archive_is_the_same(
    checkout: Path, wheel: Path, tmp_path: Path
) -> None:
    (checkout / "tests").mkdir()
    (checkout / "tests" / "test_probe.py").touch()  # one of many, which do not come along
    run(sys.executable, "-c", BUILD.format("sdist"), tmp_path, cwd=checkout)
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as archive:
        archive.extractall(tmp_path, filter="data")
    unpacked = tmp_path / f"fplbench-{fplbench.__version__}"
    assert not (unpacked / "tests").exists()
    run(sys.executable, "-c", BUILD.format("wheel"), tmp_path, cwd=unpacked)
    assert contents(next(tmp_path.glob("*.whl"))) == contents(wheel)


def test_an_installed_wheel_finds_its_plugins_from_anywhere(wheel: Path, tmp_path: Path) -> None:
    python = layered(tmp_path / "environment", with_links=False)
    install(python, wheel)
    where, method, dataset, reference = run(python, "-c", LOOK, cwd=tmp_path).splitlines()
    file, version = where.rsplit(" ", 1)
    assert Path(file).is_relative_to(tmp_path / "environment")
    assert version == fplbench.__version__
    assert method == "fplbench.methods.probe_method"
    assert dataset == "fplbench.datasets.probe_images"
    assert reference == "True"


def test_an_editable_install_finds_its_plugins_in_the_checkout(
    checkout: Path, tmp_path: Path
) -> None:
    python = layered(tmp_path / "environment", with_links=False)
    install(python, "--editable", checkout)
    where, method, dataset, reference = run(python, "-c", LOOK, cwd=tmp_path).splitlines()
    assert Path(where.rsplit(" ", 1)[0]) == checkout / "fplbench" / "__init__.py"
    assert method == "fplbench.methods.probe_method"
    assert dataset == "fplbench.datasets.probe_images"
    assert reference == "True"
    # Nothing but the package itself becomes importable: no bare `tests` or `docs`.
    absent = "import importlib.util as u; print(u.find_spec('datasets'), u.find_spec('methods'))"
    assert run(python, "-c", absent, cwd=tmp_path).split() == ["None", "None"]


@pytest.mark.parametrize("name", ["datasets", "methods"])
def test_another_package_of_a_plugin_folders_name_wins_in_a_checkout(
    name: str, tmp_path: Path
) -> None:
    other = tmp_path / name / "__init__.py"
    other.parent.mkdir()
    other.touch()
    # The current folder stands before PYTHONPATH on sys.path.
    code = f"import sys, {name}; print(repr(sys.path[0]), {name}.__file__)"
    text = run(sys.executable, "-c", code, cwd=ROOT, PYTHONPATH=str(tmp_path))
    assert text.split() == ["''", str(other)]


def test_the_package_never_imports_its_plugin_folders_by_their_bare_names() -> None:
    code = (
        "import sys; from fplbench.plugins import registry; registry.methods();"
        "registry.datasets();"
        "print([n for n in sys.modules if n.split('.')[0] in ('methods', 'datasets')"
        "       and getattr(sys.modules[n], '__file__', None) is None])"
    )
    assert run(sys.executable, "-c", code, cwd=ROOT).strip() == "[]"
    assert not [*ROOT.glob("methods/__init__.py"), *ROOT.glob("datasets/__init__.py")]


def test_the_lock_names_versions_only_and_every_dependency() -> None:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    assert [
        line for line in lines if not re.fullmatch(r"[a-z0-9._-]+==[\w.+!]+( ; .+)?", line)
    ] == []
    text = "\n".join(lines)
    assert "/" not in text
    wanted = re.findall(r'^    "([A-Za-z0-9._-]+)>=', (ROOT / "pyproject.toml").read_text(), re.M)
    locked = {line.split("==")[0] for line in lines}
    assert len(wanted) > 15
    assert {name.replace("_", "-").lower() for name in wanted} - locked == set()
