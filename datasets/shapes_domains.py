"""Rendered shapes for feature shift: ten classes, each drawn in five styles, the domains."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from fplbench.dataset import Data, Dataset
from fplbench.embedded.render import Difficulty
from fplbench.embedded.rendered import Recipe, rendered_splits

# Ten classes alike enough to be mistaken: each shares its colour, pattern or shape with others.
CLASSES = (
    "red striped star",
    "red dotted flower",
    "orange striped flower",
    "orange dotted star",
    "brown checkered hexagon",
    "brown gridded circle",
    "orange checkered circle",
    "red gridded hexagon",
    "brown striped heart",
    "red dotted heart",
)

# As in shapes, and a little more of it, since ten classes are fewer to choose from.
DIFFICULTY = Difficulty(
    scale=(0.45, 0.75),
    shift=0.18,
    turn=0.09,
    jitter=0.06,
    texture=(0.1, 0.4),
    clutter=(1, 3),
    occluders=(0, 1),
    contrast=(0.5, 0.8),
    haze=(0.3, 0.5),
    haze_colour=(0.9, 0.5, 0.2),
    noise=(0.03, 0.1),
)

RECIPE = Recipe(
    name="shapes_domains",
    seed=0,
    classes=CLASSES,
    styles=("photo", "outline", "sketch", "neon", "pixelated"),
    train=20,
    test=60,
    difficulty=DIFFICULTY,
)


class ShapesDomains(Dataset):
    name: ClassVar[str] = "shapes_domains"
    summary: ClassVar[str] = "10 rendered classes in 5 drawing styles, for feature shift"
    default_scenario: ClassVar[str] = "domains"
    source: ClassVar[str] = "rendered by fplbench.render"

    def load(self, root: Path | None, cache: Path) -> Data:
        train, test, fingerprint = rendered_splits(RECIPE, cache)
        return Data(
            classnames=RECIPE.classes,
            train=train,
            test=test,
            templates=("a photo of a {}.",),
            fingerprint=fingerprint,
            split_source="rendered, seed 0",
            domains=RECIPE.styles,
        )
