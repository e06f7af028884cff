"""What a cell's settings are where nobody names any, and which of a cell's are not these."""

from __future__ import annotations

from pydantic import BaseModel

from fplbench.features.backbones import method_defaults, training_defaults
from fplbench.method import Method
from fplbench.scenario import Scenario
from fplbench.spec import Cell, Json, Training
from fplbench.strategy import Strategy


def training(backbone: str, scenario: type[Scenario]) -> Json:
    """The budget and the optimizer of a backbone in a scenario, where they are not Training's."""
    return {**training_defaults(backbone), **scenario.training_defaults}


def settings(backbone: str, method: type[Method]) -> Json:
    """A method's settings on a backbone, where they are not its Config's."""
    fields = method.Config.model_fields
    return {name: value for name, value in method_defaults(backbone).items() if name in fields}


def changed(
    cell: Cell,
    method: type[Method],
    scenario: type[Scenario],
    strategy: type[Strategy] | None = None,
) -> list[str]:
    """The settings that are not the defaults of today: "set.NAME" (the method's), "scen.NAME",
    "train.NAME". A setting without a default is one of them, and so is a strategy."""
    usual = Training(**training(cell.backbone, scenario)).model_dump(mode="json")
    groups = {
        "set": (cell.settings, _defaults(method.Config) | settings(cell.backbone, method)),
        "scen": (cell.scenario_settings, _defaults(scenario.Config)),
        "train": (cell.training.model_dump(mode="json"), usual),
    }
    found = [
        f"{group}.{name}"
        for group, (mine, defaults) in groups.items()
        for name, value in mine.items()
        if name not in defaults or defaults[name] != value
    ]
    if strategy is None:
        return found
    defaults = _defaults(strategy.Config)
    own = [name for name, value in cell.strategy_settings.items() if defaults.get(name) != value]
    return [*found, "set.strategy", *(f"set.{cell.strategy}.{name}" for name in own)]


def _defaults(settings: type[BaseModel]) -> Json:
    return settings.model_construct().model_dump(mode="json", warnings=False)
