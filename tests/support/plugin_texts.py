"""Sources of small plug-ins, for tests that write them to files."""

from __future__ import annotations


def method_text(
    name: str = "mine",
    *,
    class_name: str = "Mine",
    config: str = "class Config(Settings):\n        strength: float = 1.0",
    methods: tuple[str, ...] = ("init", "logits"),
    extra: str = "",
) -> str:
    """A file with one method that answers with the pooled features it is given."""
    bodies = {
        "init": 'def init(self, task, generator):\n        return {"w": Param(torch.zeros(1))}',
        "logits": (
            "def logits(self, params, text, batch, task):\n"
            "        return batch.pooled @ task.clip_text_features.T + params['w'][:, None]"
        ),
    }
    chosen = "\n\n    ".join(bodies[key] for key in methods)
    return f"""\
import torch
from fplbench.method import Method, Param, Settings


class {class_name}(Method):
    name = {name!r}
    title = "A method for a test"
    source = "nowhere"
    {extra}

    {config}

    {chosen}
"""


def dataset_text(name: str = "my_images") -> str:
    """A file with one data set of two classes, four training and four test images."""
    return f"""\
import numpy as np
from PIL import Image
from fplbench.dataset import Data, Dataset, Split


class Mine(Dataset):
    name = {name!r}
    summary = "A data set for a test"

    def load(self, root, cache):
        images = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue")] * 2
        split = Split(images, np.array([0, 1] * 2))
        return Data(("red", "blue"), split, split, ("a photo of a {{}}.",), "1", "made up")
"""


def scenario_text(name: str = "mine", shots: str = "None", extra: str = "") -> str:
    """A file with one scenario: images dealt in their order, to as many clients as are asked."""
    return f"""\
import numpy as np
import pydantic
from fplbench.scenario import Clients, Scenario, Settings
from fplbench.split.whole import split_clients

def make(field, default):
    return pydantic.create_model("Config", __base__=Settings, **{{field: (float, default)}})


class Mine(Scenario):
    name = {name!r}
    summary = "images dealt in their order"
    headline = ("local",)
    titles = {{"local": "At home"}}

    class Config(Settings):
        parts: int = pydantic.Field(2, ge=1)

    def build(self, data, seed):
        images, parts = len(data.train.labels), self.config.parts
        train = np.array_split(np.random.default_rng(seed).permutation(images), parts)
        test = np.array_split(np.arange(len(data.test.labels)), parts)
        return split_clients(data, train, test, {shots}, seed, self.name)

    def describe(self):
        return f"{{self.config.parts}} parts"

    {extra}
"""


def measure_text(name: str = "brier", extra: str = "") -> str:
    """A file with one measure, of which less is better."""
    return f"""\
from fplbench.plugins.measure import PerImage


class Mine(PerImage):
    name = {name!r}
    title = "a score for a test"
    short = "Score"
    unit = ""
    meaning = "the squared doubt in an answer"
    lower_is_better = True
    decimals = 3
    {extra}

    def each(self, answers):
        return (1 - answers.confidence) ** 2
"""
