"""A grid in YAML: the file becomes the same request that the command line makes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from fplbench.errors import UserError
from fplbench.plugins.written import Written
from fplbench.spec import Json, Request

AXES = ("methods", "strategies", "datasets", "scenarios", "backbones", "seeds")
KEYS = (*AXES, "settings")


def read(path: Path) -> Json:
    """The axes and settings of a grid file, each axis a list; UserError names all mistakes."""
    try:
        content = yaml.load(path.read_bytes(), Loader=_Loader)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        what = " ".join(str(error).split())
        raise UserError(f"{path} is no YAML: {what}.") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} is no grid: it needs lines like `methods: [promptfl, fedpgp]`.")
    wrong = list(_mistakes(content))
    if wrong:
        raise UserError("\n".join(f"{path}: {sentence}" for sentence in wrong))
    axes = {key: _listed(content[key]) for key in AXES if key in content}
    if "seeds" in axes:
        axes["seeds"] = [int(seed) for seed in axes["seeds"]]
    return axes | {"settings": content.get("settings") or {}}


def request(file: Json, axes: Json, options: Json, sets: Json) -> Request:
    """The request of a grid file and the command line, whose values take the file's place."""
    settings = file.get("settings", {})
    whole = {key: value for key, value in file.items() if key != "settings"} | axes
    for key in ("methods", "datasets"):
        if not whole.get(key):
            raise UserError(
                f"Say what to run: --{key} NAMES, or a --preset or a grid file that names them."
            )
    return Request(
        **{key: tuple(dict.fromkeys(values)) for key, values in whole.items()},
        options=options,
        sets={key: settings[key] for key in settings if not _is_given(key, options, sets)} | sets,
    )


def _is_given(key: str, options: Json, sets: Json) -> bool:
    """Whether the command line has a value for it, or for everybody: then the file's, for one
    method or scenario too, would hide what was typed last."""
    bare = key.rpartition(".")[2]
    return bare in options or bare in sets


def _mistakes(content: dict[Any, Any]) -> Iterable[str]:
    for key, value in content.items():
        if key not in KEYS:
            yield f"{key!r} is no key of a grid; known: {', '.join(KEYS)}."
        elif key == "seeds":
            seeds = _listed(value)
            if not seeds or not all(isinstance(s, Written) and s.isdecimal() for s in seeds):
                yield f"seeds: {value!r} are no seeds; write whole numbers from 0, as in [0, 1, 2]."
        elif key in AXES:
            names = _listed(value)
            if not names or not all(isinstance(name, str) for name in names):
                yield f"{key}: {value!r} are no names; write a name or a list of names."
        elif value is not None and not isinstance(value, dict):
            yield f"settings: {value!r} is no mapping; write a line `NAME: value` for each."
    settings = content.get("settings")
    for name, value in settings.items() if isinstance(settings, dict) else ():
        if not isinstance(name, str):
            yield f"settings: {name!r} is no name of a setting."
        elif isinstance(value, dict):
            inside = ", ".join(f"{name}.{key}" for key in value)
            yield f"settings: {name} holds settings; write each on its line: {inside}."


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


class _Loader(yaml.SafeLoader):
    """YAML whose plain values stay as they were written, for the types of settings to read: YAML
    1.1 makes 8 of 010, no truth of no and a time of 1:30. A key given twice, of which the first
    would be lost in silence, is refused."""

    def as_written(self, node: yaml.ScalarNode) -> str | None:
        text = str(self.construct_scalar(node))
        if node.style is not None:
            return text
        return None if text in ("", "~") else Written(text)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        own = [key for key, _ in node.value if not key.tag.endswith(":merge")]
        keys = [self.construct_object(key, deep=True) for key in own]
        for position, key in enumerate(keys):
            if key in keys[:position]:
                raise yaml.constructor.ConstructorError(
                    problem=f"the key {key!r} is there twice", problem_mark=node.start_mark
                )
        return super().construct_mapping(node, deep)


_Loader.add_constructor("tag:yaml.org,2002:str", _Loader.as_written)
# Of what plain values stand for, only `<<: *other`.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag.endswith(":merge")]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
