"""The published code's numbers, through the engine's own steps.

Each case of the golden format (tests/golden/README.md) is placed as one of three clients: the two
beside it are random, have more images, and must not show in its numbers. FPLBENCH_GOLDEN names
another folder of cases.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from golden_backbone import golden_backbone
from safetensors import safe_open
from torch import Tensor

from fplbench.clip.backbone import Backbone
from fplbench.clip.task import PromptTask
from fplbench.engine.train import SGD, LocalData, Steps, step_gradients, train_clients
from fplbench.method import Batch, Method, Task, Tensors
from fplbench.plugins import registry

HERE = Path(__file__).parent / "golden"
GOLDEN = Path(os.environ.get("FPLBENCH_GOLDEN") or HERE)
TOLERANCE = 1e-5
PLACE = 1  # of the case among the three clients
PADDING = 3  # rows of the case's client without an image


@dataclass(frozen=True)
class Case:
    """settings: the metadata, decoded; tensors: under the names of the format."""

    settings: dict[str, object]
    tensors: Tensors

    def group(self, prefix: str) -> Tensors:
        return {
            name.removeprefix(prefix): value
            for name, value in self.tensors.items()
            if name.startswith(prefix)
        }


@dataclass(frozen=True)
class Translation:
    """From the format's settings and tensors to a method's, and back."""

    settings: dict[str, str]
    ours: Callable[[Tensors], Tensors]
    theirs: Callable[[Tensors], Tensors]


# What the published code fixes without a setting is added in `method_of`.
TRANSLATIONS = {
    "promptfl": Translation(
        settings={"n_ctx": "n_ctx", "csc": "csc", "pos": "position"},
        ours=lambda golden: dict(golden),
        theirs=lambda ours: dict(ours),
    ),
    "fedpgp": Translation(
        settings={
            "n_ctx": "n_ctx",
            "pos": "position",
            "mu": "mu",
            "temp": "tau",
            "bottleneck": "rank",
        },
        ours=lambda golden: {name: value[0] for name, value in golden.items()},
        theirs=lambda ours: {name: value[None] for name, value in ours.items()},
    ),
    "fedotp": Translation(
        settings={
            "n_ctx": "n_ctx",
            "pos": "position",
            "ot": "ot",
            "eps": "eps",
            "thresh": "thresh",
            "max_iter": "max_iter",
            "top_percent": "top_percent",
        },
        ours=lambda golden: {"ctx_shared": golden["ctx"][0], "ctx_private": golden["ctx"][1]},
        theirs=lambda ours: {"ctx": torch.stack([ours["ctx_shared"], ours["ctx_private"]])},
    ),
}
FIXED = {"fedpgp": {"guidance": "placeholder"}}


def case_files() -> list[Path]:
    """All files of the folder but the backbone, which has no method."""
    found = []
    for path in sorted(GOLDEN.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            if "method" in (file.metadata() or {}):
                found.append(path)
    return found


def read(path: Path) -> Case:
    with safe_open(path, "pt") as file:
        settings = {name: decode(value) for name, value in file.metadata().items()}
        return Case(settings, {name: file.get_tensor(name) for name in file.keys()})


def decode(value: str) -> object:
    """JSON, or the string itself: the format's README promises JSON, the files' method is bare."""
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value


def method_of(case: Case) -> Method:
    name = str(case.settings["method"])
    translation = TRANSLATIONS[name]
    kind = registry.methods().get(name)
    chosen = {
        ours: case.settings[theirs]
        for theirs, ours in translation.settings.items()
        if theirs in case.settings
    }
    return kind(kind.Config(**chosen, **FIXED.get(name, {})))


def between_strangers(case: Case, init: Tensors) -> tuple[Tensors, LocalData]:
    """The parameters and data of three clients: the case's in the middle, random ones around."""
    noise = torch.Generator().manual_seed(5)

    def random(shape: torch.Size) -> Tensor:
        return torch.randn(shape, generator=noise)

    params = {
        name: torch.stack([0.1 * random(value.shape), value, 0.3 * random(value.shape)])
        for name, value in init.items()
    }
    features = case.tensors["input.image_features"]
    rows = len(features) + PADDING
    beside = random(torch.Size([3, rows, *features.shape[1:]]))
    beside[PLACE, : len(features)] = features
    beside = F.normalize(beside, dim=-1)
    labels = torch.randint(len(classnames(case)), (3, rows), generator=noise)
    labels[PLACE, : len(features)] = case.tensors["input.labels"]
    mask = torch.ones(3, rows, dtype=torch.bool)
    mask[PLACE, len(features) :] = False
    with_patches = features.dim() == 3  # the class token, then the patches
    return params, LocalData(
        labels=labels,
        mask=mask,
        plain=torch.arange(3 * rows).view(3, rows),
        rows=torch.arange(3 * rows).view(1, 3, rows),
        pooled=(beside[:, :, 0] if with_patches else beside).flatten(0, 1),
        patches=beside[:, :, 1:].flatten(0, 1) if with_patches else None,
        class_mask=None,
    )


def classnames(case: Case) -> tuple[str, ...]:
    names = case.settings["classnames"]
    assert isinstance(names, list)
    return tuple(map(str, names))


def assert_close(what: str, ours: Tensor, golden: Tensor) -> None:
    assert ours.shape == golden.shape, what
    assert ours.dtype == golden.dtype == torch.float32
    error = float((ours - golden).abs().max() / golden.abs().max())
    print(f"{what}: {error:.1e}")
    assert error <= TOLERANCE, f"{what}: relative error {error:.2e}"


@dataclass(frozen=True)
class Setting:
    case: Case
    method: Method
    task: Task
    params: Tensors
    data: LocalData
    fixed: Tensors

    def of_case(self, stacked: Tensors) -> Tensors:
        """The case's rows of our tensors, in the format's layout."""
        rows = {name: value[PLACE] for name, value in stacked.items()}
        return TRANSLATIONS[str(self.case.settings["method"])].theirs(rows)

    def batch(self) -> Batch:
        every = torch.arange(self.data.mask.shape[1]).expand(self.data.mask.shape)
        return self.data.batch(every, self.data.mask, torch.zeros(3, dtype=torch.long), self.fixed)


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    """The folder's own, or the one that the published cases were made with."""
    own = (GOLDEN / "clip_tiny.safetensors").is_file()
    return golden_backbone(GOLDEN if own else HERE)


@pytest.fixture(scope="module", params=case_files(), ids=lambda path: path.stem)
def setting(request: pytest.FixtureRequest, backbone: Backbone) -> Setting:
    case = read(request.param)
    names = classnames(case)
    task = PromptTask(backbone.text, names, ["a photo of a {}."], backbone.logit_scale)
    method = method_of(case)
    specs = method.init(task, torch.Generator().manual_seed(0))
    ours = TRANSLATIONS[str(case.settings["method"])].ours(case.group("init."))
    assert {n: p.value.shape for n, p in specs.items()} == {n: v.shape for n, v in ours.items()}
    params, data = between_strangers(case, ours)
    received = {name: params[name] for name, spec in specs.items() if spec.shared}
    return Setting(case, method, task, params, data, method.prepare(params, received, task))


def test_the_folder_holds_cases() -> None:
    assert case_files(), f"no golden case in {GOLDEN}"


def test_logits_agree(setting: Setting) -> None:
    text = setting.method.encode(setting.params, setting.task)
    logits = setting.method.logits(setting.params, text, setting.batch(), setting.task)
    golden = setting.case.tensors["expected.logits"]
    assert_close("logits", logits[PLACE, : len(golden)], golden)
    if "expected.text_features_personal" in setting.case.tensors:
        check_text_features(setting)


def check_text_features(setting: Setting) -> None:
    """FedPGP's files hold the three that its loss compares."""
    golden = setting.case.group("expected.text_features_")
    task, method, params = setting.task, setting.method, setting.params
    shared = method.shared_only(params)
    assert shared is not None
    clip = F.normalize(setting.fixed["t_clip"], dim=-1)
    assert_close("CLIP's text features", clip[PLACE], golden["clip"])
    assert_close("the shared prompt's", method.encode(shared, task)["t"][PLACE], golden["global"])
    assert_close("the personal one's", method.encode(params, task)["t"][PLACE], golden["personal"])


def test_loss_terms_and_gradients_agree(setting: Setting) -> None:
    terms, grads = step_gradients(
        setting.method, setting.params, list(setting.params), setting.batch(), setting.task
    )
    golden = setting.case.group("expected.")
    ours = {name: term[PLACE] for name, term in terms.items()}
    assert_close("loss", torch.stack(list(ours.values())).sum(), golden["loss"])
    if "ce" in golden:
        assert_close("ce", ours["ce"], golden["ce"])
    if "contrastive" in golden:
        mu = setting.case.settings["mu"]
        assert isinstance(mu, float)
        assert_close("contrastive", ours["contrastive"] / mu, golden["contrastive"])
    found = setting.of_case(grads)
    expected = setting.case.group("expected.grad.")
    assert found.keys() == expected.keys()
    for name, grad in expected.items():
        assert_close(f"gradient of {name}", found[name], grad)


def test_three_steps_of_sgd_agree(setting: Setting) -> None:
    params = {name: value.clone() for name, value in setting.params.items()}
    optimizer = SGD(lr=0.05, momentum=0.9, weight_decay=5e-4)
    rows = setting.data.mask.shape[1]
    one_step = Steps(
        index=torch.arange(rows).expand(1, 3, rows),
        mask=setting.data.mask[None],
        epoch=torch.zeros(1, 3, dtype=torch.long),
        active=(3,),
        width=(rows,),
    )
    trace = []
    for _ in range(3):
        terms = train_clients(
            setting.method,
            params,
            list(params),
            setting.data,
            one_step,
            setting.fixed,
            setting.task,
            optimizer,
        )
        trace.append(torch.stack(list(terms.values())).sum(0)[PLACE])
    golden = setting.case.group("expected.")
    assert_close("losses of three steps", torch.stack(trace), golden["loss_trace_sgd"])
    found = setting.of_case(params)
    for name, value in setting.case.group("expected.after_sgd.").items():
        assert_close(f"{name} after three steps", found[name], value)
