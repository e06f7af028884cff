"""Who holds how many training images of which class: a picture of a scenario's split."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import matplotlib
import numpy as np
from pydantic import ValidationError

from fplbench.dataset import Data, IntArray
from fplbench.errors import UserError
from fplbench.machine.fonts import fit
from fplbench.plugins.base import refusals
from fplbench.plugins.registry import Found
from fplbench.plugins.written import read
from fplbench.records.atomic import OUT, writing
from fplbench.scenario import Clients, Scenario

MOST_NAMES = 40  # on an axis; more cannot be read
MOST_NUMBERS = 400  # cells that carry their number


def chosen_scenario(
    scenarios: Found[Scenario], name: str, flags: Mapping[str, object], sets: Mapping[str, object]
) -> Scenario:
    """The scenario with the flags that are not None and what `--set` says; UserError for a setting
    that it lacks or a value that it refuses."""
    cls = scenarios.get(name)
    given = {key: value for key, value in flags.items() if value is not None}
    for key, written in {
        **{key: "--" + key.replace("_", "-") for key in given},
        **{key: f"--set {key}" for key in sets},
    }.items():
        if key not in cls.Config.model_fields:
            raise UserError(f"{written} is no setting of the scenario {name}; leave it out.")
    try:
        return cls(cls.Config(**read(cls.Config, given | dict(sets))))
    except ValidationError as error:
        raise UserError(" ".join(refusals(error, f"scenario {name}"))) from error


def counted(data: Data, clients: Clients) -> IntArray:
    """[clients, classes]: training images, by the labels that the clients are told."""
    count = len(data.classnames)
    labels = clients.labels(data)
    return np.stack([np.bincount(labels[rows], minlength=count) for rows in clients.train_rows])


def draw(data: Data, made: Clients, title: str, path: Path) -> list[str]:
    """Write the picture (PNG, PDF or SVG by its ending); returns lines for the screen."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if path.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise UserError(f"--out {path}: let the name end in .png, .pdf or .svg.")
    held = counted(data, made)
    clients, classes = held.shape
    size = (min(16, 2.5 + 0.22 * classes), min(9, 1.8 + 0.16 * clients))
    with matplotlib.rc_context({"font.size": 7, "text.parse_math": False}):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        # Empty cells stay white, so that few images are told from none.
        shown = np.ma.masked_equal(held, 0)
        image = axes.imshow(shown, aspect="auto", cmap="viridis_r", interpolation="nearest", vmin=0)
        if held.size <= MOST_NUMBERS:
            for row, column in zip(*np.nonzero(held), strict=True):
                dark = held[row, column] > held.max() / 2
                axes.text(
                    int(column),
                    int(row),
                    str(held[row, column]),
                    ha="center",
                    va="center",
                    fontsize=5,
                    color="white" if dark else "black",
                )
        if classes <= MOST_NAMES:
            axes.set_xticks(range(classes), data.classnames, rotation=60, ha="right")
        if clients <= MOST_NAMES:
            axes.set_yticks(range(clients), made.client_names)
        axes.set_xlabel("class")
        axes.set_ylabel("client")
        axes.set_title(title, loc="left")
        figure.colorbar(image, label="training images")
        fit(figure)
        drawn = io.BytesIO()  # a figure that cannot be written must not end inside matplotlib
        figure.savefig(drawn, dpi=150, format=path.suffix.lstrip(".") or None)
    with writing(path, OUT):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(drawn.getvalue())
    return [*_summary(held), str(path)]


def _summary(held: IntArray) -> list[str]:
    images, classes = held.sum(axis=1), (held > 0).sum(axis=1)
    return [
        f"{len(held)} clients",
        f"training images a client: {_spread(images)}",
        f"classes a client: {_spread(classes)}",
    ]


def _spread(numbers: IntArray) -> str:
    low, middle, high = int(numbers.min()), float(np.median(numbers)), int(numbers.max())
    return f"{low}" if low == high else f"{low} to {high}, median {middle:g}"
