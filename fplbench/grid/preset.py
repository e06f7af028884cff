"""Presets: the settings of papers' tables, one YAML file each in presets/."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field

from fplbench.errors import UserError
from fplbench.plugins.base import suggestion
from fplbench.spec import Json, Request, Training


class Run(BaseModel):
    """What `fplbench run` would be given; options as in Request, set with METHOD.KEY alone. In
    both a list is swept, as in Request."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    methods: tuple[str, ...]
    datasets: tuple[str, ...]
    scenario: str
    backbone: str
    seeds: tuple[int, ...]
    options: Json = {}
    sets: Json = Field({}, alias="set")


class Preset(BaseModel):
    """A table of a paper.

    follows: what of it the preset has, in words; settings_from: where its numbers were read;
    cannot: what of the table is not followed, a clause each.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    paper: str
    table: str
    follows: str
    settings_from: str
    cannot: tuple[str, ...]
    run: Run

    def explained(self) -> Iterator[str]:
        """What one must know who runs it."""
        yield f"{self.name} follows {self.paper}, table {self.table}: {self.follows}."
        yield f"Its settings are from {self.settings_from}."
        yield "Not followed: " + "; ".join(self.cannot) + "."


def presets() -> dict[str, Preset]:
    """All presets by name."""
    folder = resources.files("fplbench").joinpath("presets")
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".yaml")), key=lambda f: f.name)
    names = [file.name.removesuffix(".yaml") for file in files]
    return {
        name: Preset(name=name, **yaml.safe_load(file.read_text("utf-8")))
        for name, file in zip(names, files, strict=True)
    }


def preset(name: str) -> Preset:
    """UserError: there is none of that name."""
    known = presets()
    if name not in known:
        hint = suggestion(name, known)
        raise UserError(f"There is no preset {name!r}; {hint} `fplbench list presets` lists them.")
    return known[name]


def overridden(chosen: Preset, given: dict[str, Any], options: Json, sets: Json) -> Request:
    """The preset's request with what the user gave beside it in its place.

    given: fields of Request other than options and sets, without those not given. Under another
    scenario than the preset's, those of its options that are no training settings are left out:
    they are the other scenario's. Its settings of methods and scenarios that are not run are left
    out too.
    """
    run = chosen.run
    fields = {
        "methods": run.methods,
        "datasets": run.datasets,
        "scenarios": (run.scenario,),
        "backbones": (run.backbone,),
        "seeds": run.seeds,
    } | given
    same = fields["scenarios"] == (run.scenario,)
    kept = {k: v for k, v in run.options.items() if same or k in Training.model_fields}
    every = fields["methods"] == ("all",)
    owners = {*(run.methods if every else fields["methods"]), *([run.scenario] if same else [])}
    own = {key: value for key, value in run.sets.items() if key.partition(".")[0] in owners}
    return Request(**fields, options=kept | options, sets=own | sets)
