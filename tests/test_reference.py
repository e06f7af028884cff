"""The engine does what published code does: every method against the plain reference."""

from __future__ import annotations

from pathlib import Path

import plain_towers
import pytest
import torch
import torch.nn.functional as F
from golden_backbone import golden_backbone
from plain_reference import LOSSES, PlainClient
from small_clip import far

from fplbench.clip.backbone import Backbone
from fplbench.clip.task import PromptTask
from fplbench.clip.vision import embed
from fplbench.engine.local_data import LocalData
from fplbench.engine.train import SGD, Steps, train_clients
from fplbench.plugins import registry

CLASSES = ("cat", "american bulldog", "american_pit_bull_terrier", "beagle")
CLIENTS, IMAGES, STEPS = 3, 6, 3


@pytest.fixture(scope="module")
def clip() -> Backbone:
    return golden_backbone(Path(__file__).parent / "golden")


EVERY = LOSSES | plain_towers.LOSSES
FIELDS = {"fedpgp": {"guidance": "placeholder"}, "vpt": {"n_ctx_vision": 2}}


@pytest.mark.parametrize("name", EVERY)
def test_steps_of_clients_together_are_those_of_each_alone(clip: Backbone, name: str) -> None:
    kind = registry.methods().get(name)
    fields = {"n_ctx": 4} if "n_ctx" in kind.Config.model_fields else {}
    method = kind(kind.Config(**fields, **FIELDS.get(name, {})))
    visual = clip.model.visual
    task = PromptTask(clip.text, CLASSES, ("a photo of a {}.",), clip.logit_scale, visual=visual)
    generator = torch.Generator().manual_seed(0)
    specs = method.init(task, generator)
    params = {
        key: 0.1 * torch.randn(CLIENTS, *spec.value.shape, generator=generator)
        for key, spec in specs.items()
        if spec.trained
    }
    pixels = torch.randn(CLIENTS, IMAGES, 3, 32, 32, generator=generator)
    labels = torch.randint(len(CLASSES), (CLIENTS, IMAGES), generator=generator)

    plain = []
    for c in range(CLIENTS):
        own = {key: value[c] for key, value in params.items()}
        client = PlainClient(EVERY[name], method.config, own, clip, CLASSES, lr=0.05)
        losses = [client.step(pixels[c], labels[c]) for _ in range(STEPS)]
        plain.append((losses, client.params))

    features = clip.images(pixels.flatten(0, 1), patches="patches" in method.inputs)
    everything = torch.ones(CLIENTS, IMAGES, dtype=torch.bool)
    data = LocalData(
        plain=torch.arange(CLIENTS * IMAGES).view(CLIENTS, IMAGES),
        rows=torch.arange(CLIENTS * IMAGES).view(1, CLIENTS, IMAGES),
        labels=labels,
        mask=everything,
        pooled=F.normalize(features.pooled, dim=-1),
        patches=None if features.patches is None else F.normalize(features.patches, dim=-1),
        class_mask=None,
        embedded=embed(visual, pixels.flatten(0, 1)) if "pixels" in method.inputs else None,
    )
    steps = Steps(
        index=torch.arange(IMAGES).expand(STEPS, CLIENTS, IMAGES),
        mask=everything.expand(STEPS, CLIENTS, IMAGES),
        epoch=torch.zeros(STEPS, CLIENTS, dtype=torch.long),
        active=(CLIENTS,) * STEPS,
        width=(IMAGES,) * STEPS,
    )
    fixed = method.prepare(params, params, task)
    optimizer = SGD(0.05, 0.9, 5e-4)
    terms = train_clients(method, params, list(params), data, steps, fixed, task, optimizer)
    mean_loss = torch.stack(list(terms.values())).sum(0)
    for c, (losses, wanted) in enumerate(plain):
        assert float(mean_loss[c]) == pytest.approx(sum(losses) / STEPS, rel=1e-5)
        for key, value in wanted.items():
            assert far(params[key][c], value.detach()) < 1e-5, key
