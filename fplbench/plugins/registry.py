"""Finds the plug-ins of every kind; the only place where the core meets one.

They come from three places, and an earlier place wins a name:
1. built in: the modules of fplbench.methods, fplbench.datasets and so on;
2. a user's folders: `--plugins DIR` and the environment variable FPLBENCH_PLUGINS;
3. other installed packages: entry points of the groups "fplbench.methods", "fplbench.datasets"
   and so on, each of them a class or a module.

A module offers every public subclass of a contract that it defines; classes and modules whose name
starts with an underscore are left alone. A plug-in that does not import or breaks the contract is
listed with its error, and the others still work.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.metadata
import inspect
import os
import pkgutil
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Generic, TypeGuard, TypeVar

from fplbench.errors import UserError
from fplbench.plugins.base import Plugin, Settings, chosen, joined_names, one_line
from fplbench.plugins.provenance import FOLDER

if TYPE_CHECKING:
    from fplbench.dataset import Dataset
    from fplbench.method import Method
    from fplbench.plugins.executor import Executor
    from fplbench.plugins.format import Format
    from fplbench.plugins.measure import Measure
    from fplbench.scenario import Scenario
    from fplbench.strategy import Strategy

T = TypeVar("T", bound=Plugin)

PLUGINS_VARIABLE = "FPLBENCH_PLUGINS"
BUILT_IN = "built in"


@dataclass(frozen=True)
class Broken:
    """A plug-in that cannot be used.

    name: its own where it has one, else its file's or entry point's. error: one line.
    A file that does not import stands under all kinds: nobody can know which it is of.
    """

    name: str
    origin: str
    error: str


@dataclass
class Found(Generic[T]):
    """What there is of one kind.

    classes: by name, in order of the names. origins: for each name "built in", the path of a
    user's file, or a package's name and version.
    """

    kind: str
    classes: dict[str, type[T]] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    broken: list[Broken] = field(default_factory=list)

    def get(self, name: str) -> type[T]:
        """The class of this name; UserError with the nearest name, or with what broke it."""
        cls = chosen(self.classes, name)
        if cls is not None:
            return cls
        parts = joined_names(name)
        if len(parts) > 1:
            for part in parts:
                self.get(part)  # says which of them is not there
            raise UserError(f"{name}: no {self.kind} is made of several; name one, or use commas.")
        failed: dict[str, Broken] = {each.name: each for each in self.broken}
        near = name if name in failed else _nearest(name, [*self.classes, *failed])
        if near in failed:
            broken = failed[near]
            raise UserError(
                f"The {self.kind} {near!r} ({broken.origin}) cannot be used: {broken.error}"
            )
        if name == "all":
            raise UserError(f"`all` stands for every {self.kind} that is here: give it alone.")
        known = ", ".join(self.classes) or "none"
        hint = f"known: {known}; one of your own is found by --plugins DIR."
        if near:
            hint = f"did you mean {near!r}?"
        if failed:
            hint += f" (Not loaded because of errors: {', '.join(failed)}.)"
        raise UserError(f"There is no {self.kind} {name!r}; {hint}")


@dataclass(frozen=True)
class _Source:
    """A module or class that offers plug-ins, or the error that it gave instead."""

    name: str
    origin: str
    content: object | None
    error: str = ""


def methods(plugins: Sequence[Path] = ()) -> Found[Method]:
    """All methods; `plugins` are folders beside those of FPLBENCH_PLUGINS."""
    from fplbench.method import Method

    # mypy wants a concrete class wherever type[T] is asked for; this one is never instantiated.
    return _find(Method, "fplbench.methods", plugins)  # type: ignore[type-abstract]


def strategies(plugins: Sequence[Path] = ()) -> Found[Strategy]:
    """All strategies; `plugins` are folders beside those of FPLBENCH_PLUGINS."""
    from fplbench.strategy import Strategy

    return _find(Strategy, "fplbench.strategies", plugins)


def datasets(plugins: Sequence[Path] = ()) -> Found[Dataset]:
    """All data sets; `plugins` are folders beside those of FPLBENCH_PLUGINS."""
    from fplbench.dataset import Dataset

    return _find(Dataset, "fplbench.datasets", plugins)  # type: ignore[type-abstract]


def scenarios(plugins: Sequence[Path] | None = ()) -> Found[Scenario]:
    """All scenarios; `plugins` are folders and those of FPLBENCH_PLUGINS; None: without these."""
    from fplbench.scenario import Scenario

    return _find(Scenario, "fplbench.scenarios", plugins)  # type: ignore[type-abstract]


def usual(dataset: type[Dataset], found: Found[Scenario]) -> str:
    """The scenario of a data set where nobody names one: its own, or the one usual for such."""
    kind = "several" if dataset.parts else "one"
    every = (name for name, cls in found.classes.items() if cls.usual_for == kind)
    return dataset.default_scenario or next(every)


def metrics(plugins: Sequence[Path] = ()) -> Found[Measure]:
    """All measures; `plugins` are folders beside those of FPLBENCH_PLUGINS."""
    from fplbench.plugins.measure import Measure

    return _find(Measure, "fplbench.metrics", plugins)  # type: ignore[type-abstract]


def formats(plugins: Sequence[Path] | None = ()) -> Found[Format]:
    """All formats; `plugins` are folders and those of FPLBENCH_PLUGINS; None: without these."""
    from fplbench.plugins.format import Format

    return _find(Format, "fplbench.formats", plugins)  # type: ignore[type-abstract]


def executors(plugins: Sequence[Path] | None = ()) -> Found[Executor]:
    """All executors; `plugins` are folders and those of FPLBENCH_PLUGINS; None: without these."""
    from fplbench.plugins.executor import Executor

    return _find(Executor, "fplbench.executors", plugins)  # type: ignore[type-abstract]


def plugin_folders(plugins: Sequence[Path] = ()) -> list[Path]:
    """The given folders, then those of FPLBENCH_PLUGINS, each once; UserError if one is not."""
    from_variable = os.environ.get(PLUGINS_VARIABLE, "").split(os.pathsep)
    folders: list[Path] = []
    for path in [*plugins, *(Path(text) for text in from_variable if text)]:
        folder = Path(os.path.expanduser(path)).resolve()
        if not folder.is_dir():
            problem = "is not a folder" if folder.exists() else "does not exist"
            raise UserError(
                f"The plug-in folder {path} {problem}: "
                f"correct --plugins or the environment variable {PLUGINS_VARIABLE}."
            )
        if folder not in folders:
            folders.append(folder)
    return folders


def complaint(cls: type[Plugin]) -> str | None:
    """What breaks the contract of its kind in this class; None if nothing does."""
    name = getattr(cls, "name", None)
    if not isinstance(name, str) or not re.fullmatch("[a-z0-9_][a-z0-9_-]*", name):
        return (
            f"{cls.__name__}.name must be made of small letters, digits, - and _, "
            f"but it is {'missing' if name is None else repr(name)}"
        )
    contract: type[Plugin] = next(base for base in cls.__mro__ if "kind" in vars(base))
    for own in ("texts", "parts"):
        if getattr(cls, own) is not getattr(contract, own):
            return f"{cls.__name__}.{own} is a name of the contract's own: take another one"
    for text in contract.texts:
        value = getattr(cls, text, None)
        if not isinstance(value, str) or not value.strip():
            return f"{cls.__name__}.{text} must be a text that is not empty"
    if inspect.isabstract(cls):
        return f"{cls.__name__} must define {', '.join(sorted(cls.__abstractmethods__))}"
    config: object = getattr(cls, "Config", None)
    if config is None:
        return cls.complaint()
    if not isinstance(config, type) or not issubclass(config, Settings):
        return f"{cls.__name__}.Config must be a subclass of fplbench.plugins.base.Settings"
    without = [key for key, value in config.model_fields.items() if value.is_required()]
    if without:
        return f"every field of {cls.__name__}.Config needs a default: {', '.join(without)}"
    return cls.complaint()


def _find(base: type[T], group: str, plugins: Sequence[Path] | None) -> Found[T]:
    # A file may have been added since the last look.
    importlib.invalidate_caches()
    found: Found[T] = Found(base.kind)
    sources = [*_built_in(group)]
    for folder in [] if plugins is None else plugin_folders(plugins):
        sources += _of_folder(folder)
    sources += _of_packages(group, base)
    for source in sources:
        if source.content is None:
            found.broken.append(Broken(source.name, source.origin, source.error))
        for cls in _classes(source.content, base):
            _add(found, cls, source.origin)
    found.classes = dict(sorted(found.classes.items()))
    return found


def _add(found: Found[T], cls: type[T], origin: str) -> None:
    error = complaint(cls)
    if error is None and cls.name in found.classes:
        if found.classes[cls.name] is cls:
            return
        error = (
            f"the name {cls.name!r} is taken: there is a {found.kind} of that name "
            f"({found.origins[cls.name]}); give {cls.__name__} another one"
        )
    if error is None:
        found.classes[cls.name] = cls
        found.origins[cls.name] = origin
    else:
        name = getattr(cls, "name", None)
        name = name if isinstance(name, str) and name else cls.__name__
        found.broken.append(Broken(name, origin, error))


def _classes(content: object, base: type[T]) -> Iterator[type[T]]:
    """The plug-ins of this base that a module defines, or that an entry point is."""
    if _is_of(content, base):
        yield content
    if isinstance(content, ModuleType):
        inside = (content.__name__, content.__name__ + ".")
        for name, value in vars(content).items():
            if _is_of(value, base) and not name.startswith("_"):
                home = value.__module__
                if home == inside[0] or home.startswith(inside[1]):
                    yield value


def _is_of(value: object, base: type[T]) -> TypeGuard[type[T]]:
    """A strategy is a method too, but of another kind."""
    return isinstance(value, type) and issubclass(value, base) and value.kind == base.kind


def _built_in(package: str) -> Iterator[_Source]:
    for source in _of_package(package, importlib.import_module(package).__path__):
        yield _Source(source.name, BUILT_IN, source.content, source.error)


def _of_folder(folder: Path) -> Iterator[_Source]:
    """The modules of a user's folder, as members of a package made up for it.

    So two folders may hold files of one name, a file may import a helper beside it
    (`from ._helper import x`), and nothing is put on sys.path.
    """
    package = FOLDER + hashlib.sha256(str(folder).encode()).hexdigest()[:12]
    if package not in sys.modules:
        module = ModuleType(package, f"Plug-ins of {folder}.")
        module.__path__ = [str(folder)]
        sys.modules[package] = module
    return _of_package(package, [str(folder)])


def _of_package(package: str, path: Iterable[str]) -> Iterator[_Source]:
    for info in pkgutil.iter_modules(path):
        if info.name.startswith("_"):
            continue
        spec = info.module_finder.find_spec(f"{package}.{info.name}", None)
        origin = str(spec.origin) if spec else info.name
        try:
            content = importlib.import_module(f"{package}.{info.name}")
        except (Exception, SystemExit) as error:
            yield _Source(info.name, origin, None, one_line(error))
        else:
            yield _Source(info.name, origin, content)


def _of_packages(group: str, base: type[T]) -> Iterator[_Source]:
    for entry in sorted(importlib.metadata.entry_points(group=group)):
        origin = f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value
        try:
            content: object = entry.load()
        except (Exception, SystemExit) as error:
            yield _Source(entry.name, origin, None, one_line(error))
            continue
        if any(_classes(content, base)):
            yield _Source(entry.name, origin, content)
        else:
            problem = (
                f"the entry point {entry.value!r} is no subclass of {base.__name__} "
                f"and no module that defines one"
            )
            yield _Source(entry.name, origin, None, problem)


def _nearest(name: str, names: Iterable[str]) -> str:
    """The most similar name, or "" if none is similar."""
    return next(iter(difflib.get_close_matches(name.lower(), list(names), n=1, cutoff=0.5)), "")
