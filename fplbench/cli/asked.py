"""What `run` and `tune` are asked for: flags, a preset or a grid file as a request, and where it is
computed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fplbench.cli import flags
from fplbench.cli.consoles import err
from fplbench.cli.options import assignments, listed, listed_seeds, no_key_twice
from fplbench.errors import UserError
from fplbench.machine.caches import CACHE
from fplbench.machine.place import Place
from fplbench.plugins import registry
from fplbench.plugins.executor import Executor
from fplbench.plugins.written import swept
from fplbench.records.atomic import require_writable
from fplbench.spec import Request

SETTINGS = [*flags.of_training(), *flags.of_scenarios(), *flags.of_strategies()]
EXECUTORS = flags.of_executors()


def axes_of(
    seeds: str | None, flag: str, scenario: str | None, **names: str | None
) -> dict[str, Any]:
    """The axes of a grid that were given as flags. flag: that of the seeds. names: methods,
    strategies, datasets, backbone."""
    backbones = listed(names.pop("backbone"), "--backbone")
    found = {
        **{axis: listed(text, f"--{axis}") for axis, text in names.items()},
        "scenarios": listed(scenario, "--scenario"),
        "backbones": backbones,
        "seeds": listed_seeds(seeds, flag),
    }
    return {axis: values for axis, values in found.items() if values is not None}


def settings_of(
    given: Mapping[str, Any], sets: list[str] | None, validation: bool = False
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What flags and what --set say, each by its key; a list is swept. UserError where both say
    one thing."""
    options = {name: swept(text) for name, text in flags.given(SETTINGS, given).items()}
    if validation and options.setdefault("evaluate_on", "validation") != "validation":
        raise UserError("--validation and --evaluate-on say two things: leave one of them out.")
    assigned = assignments(sets or [])
    no_key_twice(options, assigned)
    return options, assigned


def asked_for(
    name: str | None,
    grid: Path | None,
    axes: dict[str, Any],
    options: dict[str, Any],
    sets: dict[str, Any],
) -> Request:
    """A preset, a grid file or flags alone, with flags in place of what the first two say."""
    from fplbench.grid import gridfile
    from fplbench.grid.preset import overridden, preset

    if name is None:
        return gridfile.request({} if grid is None else gridfile.read(grid), axes, options, sets)
    if grid is not None:
        raise UserError(f"--preset {name} and {grid} each say what to run: leave one out.")
    chosen = preset(name)
    for line in chosen.explained():
        err.print(line, markup=False, soft_wrap=True)
    return overridden(chosen, axes, options, sets)


def executor_of(name: str, place: Place, given: Mapping[str, Any], dry_run: bool) -> Executor:
    """Where it is computed. UserError where that cannot be, or where nothing can be written."""
    made = flags.made(registry.executors(place.plugins), name, flags.given(EXECUTORS, given))
    made.require()
    require_writable(place.cache, CACHE)
    if not dry_run:
        require_writable(place.store, "the folder of records: name another one with --out")
    return made
