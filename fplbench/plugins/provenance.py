"""What code a plug-in is: its file and all that it imports inside its own package or folder.

A file counts by what Python reads in it: comments, docstrings and formatting do not matter, and
every version of Python gives the same hash. Imports are looked for in the text, also those
inside functions, and followed without running anything. Not covered are files that are not
Python, imports whose name is put together while the program runs, an `__init__` that is passed
on the way to a module without being named, and the core of fplbench, for which spec.PROTOCOL
speaks.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.machinery
import importlib.util
import inspect
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fplbench.errors import UserError
from fplbench.plugins.base import Plugin

CORE = "fplbench"
BUILT_IN = ("fplbench.methods", "fplbench.datasets")
"""The core's own plug-ins; they are no part of the core, as its scenarios are."""
FOLDER = "fplbench_plugins_"
"""How the packages begin that the registry makes up for users' folders."""

MOVED = {
    "fplbench.embedded.render": "fplbench.render",
    "fplbench.embedded.rendered": "fplbench.rendered",
}
"""Modules of the core that plug-ins import -> where they were when the first records were made.
A hash has the old name, so that a tidied core voids no results."""

Hashes = dict[str, str]


@dataclass(frozen=True)
class _Home:
    """A package or folder of plug-ins. label: what it is called where it is not the plug-in's
    own; folders: none for a module that is in no package."""

    label: str
    package: str
    folders: tuple[Path, ...] = ()


@dataclass(frozen=True)
class _Module:
    """A file of Python and the name under which it is imported."""

    name: str
    path: Path

    @property
    def package(self) -> str:
        """What its relative imports start from."""
        return self.name if self.path.stem == "__init__" else self.name.rpartition(".")[0]


def is_core(cls: type) -> bool:
    """Whether a class is of the core, where spec.PROTOCOL speaks for its code."""
    if parts := parts_of(cls):
        return all(map(is_core, parts))
    module = cls.__module__
    inside = module == CORE or module.startswith(f"{CORE}.")
    return inside and not any(module.startswith(f"{package}.") for package in BUILT_IN)


def parts_of(cls: type) -> tuple[type, ...]:
    """The plug-ins that one made of several consists of."""
    return cls.parts if issubclass(cls, Plugin) else ()


def version(cls: type) -> str:
    """A hash of all of a plug-in's code."""
    return _digest(json.dumps(hashes(cls), sort_keys=True))


@cache
def hashes(cls: type) -> Hashes:
    """Each file of a plug-in with its hash, by the names of `files`.

    Kept, so that a file that is edited while a run goes on does not change the run's ids.
    """
    return {name: hash_of(path) for name, path in files(cls).items()}


def files(cls: type) -> dict[str, Path]:
    """The files of a plug-in by name: relative to its package or folder, and with another one's
    name in front where they lie in that one; of one made of several, those of all, with a part's
    name in front where another one has a file of that name. UserError for a class without a file.
    """
    if parts := parts_of(cls):
        joined: dict[str, Path] = {}
        for part in parts:
            for name, path in files(part).items():
                if joined.setdefault(name, path) != path:
                    joined[f"{part.__name__}/{name}"] = path
        return dict(sorted(joined.items()))
    classes = _own(cls)
    homes = [_home(each.__module__) for each in classes]
    homes += [_Home(package, package, _folders(package)) for package in BUILT_IN]
    found: dict[str, Path] = {}
    for each in classes:
        for module in _reached(_Module(each.__module__, _file(each)), homes):
            found.setdefault(_name(module.path, homes), module.path)
    return dict(sorted(found.items()))


def hash_of(path: Path) -> str:
    """Of a file as Python reads it, or of its bytes if Python cannot read it."""
    text = path.read_bytes()
    try:
        return _digest(_canonical(ast.parse(text)))
    except (SyntaxError, ValueError):
        return _digest(text)


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """ "NAME changed", "NAME was added", "NAME was removed", file by file."""
    words = {
        name: "was added" if name not in before else "was removed" if name not in now else "changed"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    }
    return [f"{name} {word}" for name, word in words.items()]


def _digest(data: str | bytes) -> str:
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()[:12]


def _canonical(node: object) -> str:
    """The tree in words. ast.dump would do, but its words change with the version of Python:
    fields that are empty are left out, since a later Python has more of them."""
    if isinstance(node, ast.Constant):
        return f"Constant({node.value!r})"
    if isinstance(node, ast.ImportFrom) and node.module in MOVED:
        node = ast.ImportFrom(MOVED[node.module], node.names, node.level)
    if isinstance(node, ast.AST):
        parts = [
            f"{name}={_canonical(value)}"
            for name, value in ast.iter_fields(node)
            if value is not None and value != []
        ]
        return f"{type(node).__name__}({', '.join(parts)})"
    if isinstance(node, list):
        return f"[{', '.join(_canonical(each) for each in node if not _is_text(each))}]"
    return repr(node)


def _is_text(line: object) -> bool:
    """A docstring, or another string that nobody takes."""
    return (
        isinstance(line, ast.Expr)
        and isinstance(line.value, ast.Constant)
        and isinstance(line.value.value, str)
    )


def _own(cls: type) -> list[type]:
    """The class and those of its bases that are plug-ins too: code that knows the contract."""
    # A class that type() made, as Dataset.of does, says that it comes from its metaclass's file.
    return [
        each
        for each in cls.__mro__
        if not is_core(each)
        and any(is_core(base) for base in each.__mro__)
        and each.__module__ != type(each).__module__
    ]


def _file(cls: type) -> Path:
    module = sys.modules.get(cls.__module__)
    path = getattr(module, "__file__", None)
    if module is None or path is None:
        raise UserError(
            f"{cls.__name__} is defined in no file, so what made its numbers could not be told: "
            "write it into a file, see docs/adding-a-method.md."
        )
    return Path(inspect.getsourcefile(module) or path)


def _home(module: str) -> _Home:
    """The package or folder that a module is in."""
    for package in BUILT_IN:
        if module.startswith(f"{package}."):
            return _Home(package, package, _folders(package))
    top, *rest = module.split(".")
    if top.startswith(FOLDER):
        return _Home(_folders(top)[0].name, top, _folders(top))
    # A namespace package may be shared with others' packages: the first one below it that has
    # an __init__ is the plug-in's own.
    prefixes = [".".join([top, *rest[:n]]) for n in range(len(rest) + 1)]
    for package in prefixes:
        if getattr(sys.modules.get(package), "__file__", None) and _folders(package):
            return _Home(package, package, _folders(package))
    parent = module.rpartition(".")[0]
    return _Home(parent or module, parent or module, _folders(parent))


def _folders(package: str) -> tuple[Path, ...]:
    """Where a package's modules are; nowhere for a module that is no package."""
    module = sys.modules.get(package)
    if module is not None:
        return tuple(Path(path) for path in getattr(module, "__path__", ()))
    spec = _spec(package) if package else None
    return tuple(Path(path) for path in (spec.submodule_search_locations or ())) if spec else ()


def _reached(start: _Module, homes: Sequence[_Home]) -> Iterator[_Module]:
    """A module and all that it imports inside the homes, each once."""
    seen, waiting = set[Path](), [start]
    while waiting:
        module = waiting.pop()
        if module.path in seen:
            continue
        seen.add(module.path)
        yield module
        try:
            tree = ast.parse(module.path.read_bytes())
        except (SyntaxError, ValueError):
            continue
        for name in _imported(tree, module, homes):
            found = _find(name, homes)
            if found is not None:
                waiting.append(found)


def _imported(tree: ast.AST, module: _Module, homes: Sequence[_Home]) -> Iterator[str]:
    """The modules that a file names in its imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
                if alias.asname is None:  # binds the first name, through which all are reached
                    parts = alias.name.split(".")
                    yield from (".".join(parts[:n]) for n in range(1, len(parts)))
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, module)
            for alias in node.names if base else ():
                if alias.name == "*":
                    yield base
                    yield from _submodules(base, homes)
                else:
                    inner = f"{base}.{alias.name}"
                    yield inner if _find(inner, homes) else base


def _absolute(node: ast.ImportFrom, module: _Module) -> str:
    """What stands between `from` and `import`, without dots before it; "" if that is nowhere."""
    parents = module.package.split(".") if module.package else []
    if node.level > len(parents):
        return ""
    if node.level == 0:
        return node.module or ""
    parents = parents[: len(parents) - node.level + 1]
    return ".".join([*parents, *([node.module] if node.module else [])])


def _submodules(package: str, homes: Sequence[_Home]) -> Iterator[str]:
    """What `import *` of a package may bring along."""
    found = _find(package, homes)
    if found is not None and found.path.stem == "__init__":
        for path in sorted(found.path.parent.iterdir()):
            yield f"{package}.{path.stem}"


def _find(name: str, homes: Sequence[_Home]) -> _Module | None:
    """The file of a module that is in one of the homes; None for any other."""
    for home in homes:
        if name == home.package or name.startswith(f"{home.package}."):
            rest = name.removeprefix(home.package).split(".")[1:]
            path = _in_folders(home.folders, rest)
            return None if path is None else _Module(name, path)
    # Under another name, as `import helper` where the folder itself is on sys.path.
    top, *rest = name.split(".")
    spec = None if top == CORE else _spec(top)
    if spec is None:
        return None
    if rest or spec.submodule_search_locations:
        folders = tuple(Path(each) for each in spec.submodule_search_locations or ())
        path = _in_folders(folders, rest)
    else:
        path = Path(spec.origin) if spec.has_location and spec.origin else None
    places = [] if path is None else [_relative(path, home) for home in homes]
    inside = any(place is not None and not _is_installed(place) for place in places)
    return _Module(name, path) if path is not None and inside else None


def _is_installed(place: str) -> bool:
    """Whether it is others' code, in an environment that lies in the plug-ins' folder."""
    return not {"site-packages", "dist-packages"}.isdisjoint(place.split("/"))


def _in_folders(folders: Sequence[Path], parts: Sequence[str]) -> Path | None:
    for part in parts[:-1]:
        folders = [folder / part for folder in folders]
    for folder in folders:
        last = folder / parts[-1] if parts else folder
        for path in (last / "__init__.py", *([last.with_name(f"{last.name}.py")] if parts else [])):
            if path.is_file():
                return path
    return None


def _spec(top: str) -> importlib.machinery.ModuleSpec | None:
    """How a package or module that is in no other would be imported."""
    try:
        return importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):
        return None


def _relative(path: Path, home: _Home) -> str | None:
    """A file's name inside a home; None if it is elsewhere."""
    for folder in home.folders:
        for inner, outer in ((path, folder), (path.resolve(), folder.resolve())):
            if inner.is_relative_to(outer):
                return inner.relative_to(outer).as_posix()
    return None


def _name(path: Path, homes: Sequence[_Home]) -> str:
    for home in homes:
        inside = _relative(path, home)
        if inside is not None:
            return inside if home == homes[0] else f"{home.label}/{inside}"
    return path.name
