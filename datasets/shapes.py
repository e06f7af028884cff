"""Rendered shapes: 100 classes such as "red striped star", half of them base, half novel."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from fplbench.dataset import Data, Dataset, Split
from fplbench.embedded.render import COLOURS, PATTERNS, SHAPES, STYLES, Difficulty
from fplbench.embedded.rendered import Recipe, balanced_classes, rendered_splits

# Smaller, further from the middle and more turned than pretraining's pictures, cluttered, partly
# covered, faint, and all under a strong orange haze. Single pictures are harder to read; the haze
# is the same for all, so that a prompt can learn to see through it.
DIFFICULTY = Difficulty(
    scale=(0.5, 0.8),
    shift=0.18,
    turn=0.07,
    jitter=0.05,
    texture=(0.1, 0.4),
    clutter=(1, 3),
    occluders=(0, 1),
    contrast=(0.5, 0.8),
    haze=(0.22, 0.42),
    haze_colour=(0.9, 0.5, 0.2),
    noise=(0.03, 0.12),
)

RECIPE = Recipe(
    name="shapes",
    seed=0,
    classes=tuple(balanced_classes(0, (tuple(COLOURS), PATTERNS, SHAPES), 100)),
    styles=tuple(STYLES),
    train=7,
    test=7,
    difficulty=DIFFICULTY,
)


class Shapes(Dataset):
    name: ClassVar[str] = "shapes"
    summary: ClassVar[str] = "100 rendered classes of colour, pattern and shape"
    default_scenario: ClassVar[str] = "base2novel"
    source: ClassVar[str] = "rendered by fplbench.render"

    def load(self, root: Path | None, cache: Path) -> Data:
        train, test, fingerprint = rendered_splits(RECIPE, cache)
        return Data(
            classnames=RECIPE.classes,
            train=Split(train.images, train.labels),
            test=Split(test.images, test.labels),
            templates=("a photo of a {}.",),
            fingerprint=fingerprint,
            split_source="rendered, seed 0",
        )
