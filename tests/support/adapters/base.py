"""A golden case as three clients of the engine, and what is compared of it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch
import torch.nn.functional as F
from golden_backbone import golden_backbone
from golden_cases import GOLDEN, HERE, Case
from torch import Tensor

from fplbench import rng
from fplbench.clip.backbone import Backbone
from fplbench.clip.task import PromptTask
from fplbench.clip.text import TextTower
from fplbench.engine.local_data import LocalData
from fplbench.engine.train import SGD
from fplbench.method import Batch, Method, Param, Round, Tensors
from fplbench.plugins import registry

PLACE = 1  # of the case among the three clients
PADDING = 3  # rows of the case's client without an image


class Adapter:
    """From the format's settings and tensors to a method's, and back.

    names: tensors of the format -> ours, where they differ. settings: the same of settings;
    always: what the published code fixes without a setting. terms: terms of the loss in the
    format -> ours, and the setting that is its weight here.
    """

    method: ClassVar[str]
    strategy: ClassVar[str] = ""
    settings: ClassVar[Mapping[str, str]] = {}
    always: ClassVar[Mapping[str, object]] = {}
    names: ClassVar[Mapping[str, str]] = {}
    terms: ClassVar[Mapping[str, tuple[str, str]]] = {"ce": ("ce", "")}
    stops_by_client: ClassVar[bool] = False  # its transport, as published code stops by the batch
    # Whether gradients are compared as a text tower in float64 gives them: a step that amplifies
    # the rounding of text features is further from itself on another processor than we allow.
    amplifies: ClassVar[bool] = False

    def config(self, case: Case) -> dict[str, object]:
        chosen = {o: case.settings[t] for t, o in self.settings.items() if t in case.settings}
        return chosen | dict(self.always)

    def travel(self, case: Case) -> dict[str, object]:
        return {}

    def made(self, case: Case) -> Method:
        kind = registry.methods().get(self.method)
        learner = kind(kind.Config(**self.config(case)))
        if not self.strategy:
            return learner
        way = registry.strategies().get(self.strategy)
        return way(way.Config(**self.travel(case)), learner)

    def ours(self, golden: Tensors) -> Tensors:
        """One client's tensors under our names."""
        return {self.names.get(name, name): value for name, value in golden.items()}

    def theirs(self, ours: Tensors) -> Tensors:
        """One client's tensors under the format's names."""
        back = {o: t for t, o in self.names.items()}
        return {back.get(name, name): value for name, value in ours.items()}

    def beside(self, case: Case) -> Tensors:
        """A client's tensors that are not trained and not drawn, as `merge` would bring them."""
        return {}

    def together(self, case: Case) -> Tensors:
        """Tensors of all three clients, [3, ...], where random ones beside the case's won't do."""
        return {}

    def received(self, case: Case, params: Tensors) -> Tensors:
        """What the clients received, each [3, ...]; params: what they start from."""
        return {}

    def drawn(self, case: Case, purpose: str, step: int) -> Tensor:
        """The recorded draw of a step."""
        raise AssertionError(f"{case.name}: nothing is recorded for {purpose}")

    def templates(self, case: Case) -> list[str]:
        return ["a photo of a {}."]

    def compared(self, s: Setting) -> dict[str, Tensor]:
        """More of what is expected: the format's name -> ours."""
        return {}

    def gradients(self, case: Case) -> Tensors:
        """The expected gradients of a step, under the format's names."""
        return case.group("expected.grad.")

    def after(self, case: Case) -> Tensors:
        """The tensors expected after three steps, under the format's names."""
        return case.group("expected.after_sgd.")

    def sums(self, case: Case) -> set[str]:
        """Tensors of whose gradient a case has sums alone."""
        return {name for axis in (0, 1) for name in case.group(f"expected.grad_sum{axis}.")}

    def total(self, terms: Tensors) -> Tensor:
        """The loss of the format, of our terms."""
        return torch.stack(list(terms.values())).sum(0)

    def check_rounds(self, case: Case, close: Close) -> None:
        """A case of a kind of its own."""
        raise AssertionError(f"{case.name}: nobody checks the kind {case.kind!r}")

    def check(self, s: Setting, close: Close) -> None:
        """Whatever else a case of this method expects."""

    def aggregated(self, case: Case) -> tuple[Tensors, Tensors]:
        """The server's tensors after a round, and what each of all clients then starts with; both
        under the format's names, in each of which the server's are as `uploads` has them."""
        method = self.made(case)
        r, everyone = rounds_of(case)
        sent = case.group("input.uploads.")
        server = method.aggregate({}, sent, r)
        return server, method.download(server, everyone)


Close = Callable[[str, Tensor, Tensor], None]


def rounds_of(case: Case, index: int = 1) -> tuple[Round, Round]:
    """The round of a case's clients, and one that all clients would take part in next."""
    sizes = torch.tensor(case.settings["all_sizes"])
    clients, total = case.of("input.clients").long(), len(sizes)

    def generator(purpose: str, client: int | None) -> torch.Generator:
        return rng.generator(0, purpose, "server" if client is None else client)

    def round_(clients: Tensor) -> Round:
        return Round(
            index=index,
            clients=clients,
            sizes=sizes[clients],
            times=torch.ones(len(clients), dtype=torch.long),
            shared=(),
            generator=generator,
            total=total,
        )

    assert torch.equal(sizes[clients], case.of("input.sizes").to(sizes.dtype))
    return round_(clients), round_(torch.arange(total))


@dataclass
class Setting:
    """A case as the middle one of three clients."""

    case: Case
    adapter: Adapter
    method: Method
    task: PromptTask
    specs: Mapping[str, Param]
    params: Tensors
    data: LocalData
    fixed: Tensors
    step: int = field(default=0)

    @property
    def trained(self) -> list[str]:
        return [name for name, spec in self.specs.items() if spec.trained]

    def of_case(self, stacked: Tensors) -> Tensors:
        """The case's rows of our trained tensors, in the format's layout."""
        return self.adapter.theirs(
            {name: stacked[name][PLACE] for name in self.specs if name in stacked}
        )

    def batch(self, training: bool = True) -> Batch:
        every = torch.arange(self.data.mask.shape[1]).expand(self.data.mask.shape)
        zero = torch.zeros(3, dtype=torch.long)
        batch = self.data.batch(every, self.data.mask, zero, self.fixed, self.step)
        if training:
            return batch
        return Batch(
            mask=batch.mask,
            pooled=batch.pooled,
            patches=batch.patches,
            embedded=batch.embedded,
            norms=batch.norms,
            fixed=batch.fixed,
            training=False,
            trained_on=batch.trained_on,
        )

    def in_double(self) -> tuple[Tensors, PromptTask]:
        """The parameters, and the task behind a text tower, in float64."""
        backbone = backbone_of(self.case)
        model = copy.deepcopy(backbone.model).double()
        task = PromptTask(
            TextTower(model, backbone.tokenizer),
            self.case.classnames,
            self.task.templates,
            backbone.logit_scale.double(),
            visual=model.visual,
        )
        params = {n: t.double() if t.is_floating_point() else t for n, t in self.params.items()}
        return params, task

    def logits(self, training: bool = False) -> Tensor:
        """[3, B, K]."""
        text = self.method.encode(self.params, self.task)
        return self.method.logits(self.params, text, self.batch(training), self.task)

    def draw(
        self,
        purpose: str,
        make: Callable[[torch.Generator], Tensor],
        step: int | None = None,
        alike: bool = False,
    ) -> Tensor:
        """In place of Batch.draw: what the case has recorded between two draws of our own."""
        wanted = self.adapter.drawn(self.case, purpose, self.step)
        if alike:
            return wanted.expand(3, *wanted.shape)
        beside = [make(torch.Generator().manual_seed(each)) for each in (1, 2)]
        return torch.stack([beside[0], wanted.to(beside[0].dtype), beside[1]])


def sgd_of(case: Case, specs: Mapping[str, Param]) -> SGD:
    """The optimizer of a case; what its metadata leaves unsaid is federated.md's."""
    usual = {"lr": 0.05, "momentum": 0.9, "weight_decay": 5e-4}
    return SGD.of(specs, *(case.number(name, value) for name, value in usual.items()))


def backbone_of(case: Case) -> Backbone:
    """The folder's own, or the one that the published cases were made with."""
    # The second base file came with the rest of the first's folder, not with later cases.
    names = (case.backbone, "clip_tiny2") if case.backbone == "clip_tiny" else (case.backbone,)
    own = any((GOLDEN / f"{name}.safetensors").is_file() for name in names)
    return golden_backbone(GOLDEN if own else HERE, case.backbone)


def setting_of(case: Case, adapter: Adapter) -> Setting:
    """Three clients, the case between two random ones with more images."""
    backbone = backbone_of(case)
    templates = adapter.templates(case)
    task = PromptTask(
        backbone.text,
        case.classnames,
        templates,
        backbone.logit_scale,
        visual=backbone.visual,
    )
    method = adapter.made(case)
    specs = method.init(task, torch.Generator().manual_seed(0))
    ours = adapter.ours(case.group("init."))
    trained = {n: p.value.shape for n, p in specs.items() if p.trained}
    assert trained == {n: v.shape for n, v in ours.items() if n in trained}
    noise = torch.Generator().manual_seed(5)
    params = {
        name: _between(value, noise)
        for name, value in ({n: p.value for n, p in specs.items()} | ours).items()
    }
    received = adapter.received(case, params)
    params |= {name: _between(value, noise) for name, value in adapter.beside(case).items()}
    params |= adapter.together(case)
    data = _data(case, noise, backbone, "pixels" in method.inputs)
    fixed = method.prepare(params, received, task)
    return Setting(case, adapter, method, task, specs, params, data, fixed)


def _between(value: Tensor, noise: torch.Generator) -> Tensor:
    """Random values of 0.1 and 0.3 around the case's."""
    if not value.is_floating_point():
        return value.expand(3, *value.shape).clone()
    first, last = (
        scale * torch.randn(value.shape, generator=noise, dtype=value.dtype) for scale in (0.1, 0.3)
    )
    return torch.stack([first, value, last])


def _data(case: Case, noise: torch.Generator, backbone: Backbone, pixels: bool) -> LocalData:
    if "input.image_features" in case.tensors:
        features = case.of("input.image_features")
    else:
        features = backbone.images(case.of("input.images")).pooled
    rows = len(features) + PADDING
    beside = torch.randn(3, rows, *features.shape[1:], generator=noise)
    beside[PLACE, : len(features)] = features
    norms = beside.norm(dim=-1)
    beside = F.normalize(beside, dim=-1)
    labels = torch.randint(len(case.classnames), (3, rows), generator=noise)
    labels[PLACE, : len(features)] = case.of("input.labels")
    mask = torch.ones(3, rows, dtype=torch.bool)
    mask[PLACE, len(features) :] = False
    embedded = None
    if pixels:
        every = torch.randn(3 * rows, 3, *case.of("input.images").shape[2:], generator=noise)
        every[PLACE * rows : PLACE * rows + len(features)] = case.of("input.images")
        embedded = backbone.embedded(every)
    mirrored = None
    if "input.image_features_flipped" in case.tensors:
        seen = torch.randn(3, rows, features.shape[-1], generator=noise)
        seen[PLACE, : len(features)] = case.of("input.image_features_flipped")
        mirrored = F.normalize(seen, dim=-1).flatten(0, 1)
    with_patches = features.dim() == 3  # the class token, then the patches
    return LocalData(
        labels=labels,
        mask=mask,
        plain=torch.arange(3 * rows).view(3, rows),
        rows=torch.arange(3 * rows).view(1, 3, rows),
        pooled=(beside[:, :, 0] if with_patches else beside).flatten(0, 1),
        patches=beside[:, :, 1:].flatten(0, 1) if with_patches else None,
        class_mask=None,
        trained_on=case.classnames,
        embedded=embedded,
        norms=(norms[:, :, 0] if with_patches else norms).flatten(),
        mirrored=mirrored,
    )
