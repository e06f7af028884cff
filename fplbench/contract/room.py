"""Where an exam takes place: the embedded text tower, a few clients, random images.

C clients, B images of each, M patches of an image, D the joint space.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, partial
from itertools import pairwise
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fplbench import rng
from fplbench.clip.backbone import Backbone
from fplbench.clip.task import PromptTask
from fplbench.clip.text import TextTower
from fplbench.contract.learners import LEARNERS
from fplbench.dataset import IntArray
from fplbench.engine.federation import Federation
from fplbench.engine.fit import setup_of
from fplbench.engine.train import step_gradients
from fplbench.features import backbones
from fplbench.features.images import Images
from fplbench.method import Batch, Method, Round, Tensors
from fplbench.scenario import Clients, Exam, Question
from fplbench.spec import Training
from fplbench.strategy import Strategy, learner_of

CLASSES = ("cat", "polar bear", "sea_horse", "t-shirt", "DC-10")
OTHERS = ("arctic fox", "sword-lily")
TEMPLATES = ("a photo of a {}.", "a {}.")
CLIENTS, IMAGES, PATCHES = 3, 4, 4
SIZES = (6, 3, 2, 4)
TRAINING = Training.model_validate(
    {"rounds": 2, "local_epochs": 1, "batch_size": 4, "lr": 0.01, "participation": 0.75}
)
SETUP = setup_of(0, SIZES, TRAINING)
NOISE = 0.2  # far enough from the start that no two clients answer alike


@dataclass(frozen=True)
class Candidate:
    """A method with one choice of settings, or a strategy with one around a method.

    variant: that choice's name, "" for the defaults. learner: what a strategy is tried with.
    """

    kind: type[Method]
    variant: str = ""
    learner: type[Method] | None = None

    def make(self) -> Method:
        """A new object of it."""
        settings: Mapping[str, Any] = self.kind.variants[self.variant] if self.variant else {}
        config = self.kind.Config(**settings)
        if issubclass(self.kind, Strategy):
            assert self.learner is not None
            return self.kind(config, self.learner(self.learner.Config())).set_up(SETUP)
        return self.kind(config).set_up(SETUP)

    def overrides(self, *hooks: str) -> bool:
        """Whether it does one of these in a way of its own."""
        return any(getattr(self.kind, hook) is not getattr(Method, hook) for hook in hooks)

    def trained(self) -> tuple[str, ...]:
        """The names of its trained tensors."""
        specs = self.make().init(task(), torch.Generator().manual_seed(0))
        return tuple(name for name, spec in specs.items() if spec.trained)


def candidates(kind: type[Method]) -> list[Candidate]:
    """A method with its defaults, then with each variant that it declares; a strategy so with each
    of the learners that it goes with."""
    variants = ["", *kind.variants]
    if not issubclass(kind, Strategy):
        return [Candidate(kind, variant) for variant in variants]
    every = [Candidate(kind, variant, each) for each in LEARNERS for variant in variants]
    return [each for each in every if _goes(each)]


def _goes(candidate: Candidate) -> bool:
    made = candidate.make()
    specs = learner_of(made).init(task(), torch.Generator().manual_seed(0))
    return isinstance(made, Strategy) and made.refusal(specs) is None


@cache
def backbone() -> Backbone:
    """The embedded one, read once."""
    return backbones.load("tiny")


@cache
def tower(dtype: torch.dtype = torch.float32) -> tuple[TextTower, Tensor, nn.Module]:
    """The embedded backbone's text tower, logit scale and image tower, in a precision."""
    tiny = backbone()
    if dtype == torch.float32:
        return tiny.text, tiny.logit_scale, tiny.visual
    model = copy.deepcopy(tiny.model).to(dtype)
    return TextTower(model, tiny.tokenizer), tiny.logit_scale.to(dtype), model.visual


@cache
def task(classnames: tuple[str, ...] = CLASSES, dtype: torch.dtype = torch.float32) -> PromptTask:
    """The task of a class list."""
    text, scale, visual = tower(dtype)
    return PromptTask(text, classnames, TEMPLATES, scale, visual=visual)


def task_on(device: torch.device, classnames: tuple[str, ...] = CLASSES) -> PromptTask:
    """The task of a class list on a device, with towers of its own."""
    tiny = backbone()
    model = copy.deepcopy(tiny.model)
    for part in model.modules():
        for key, weight in part.named_parameters(recurse=False):
            part._parameters[key] = nn.Parameter(weight.detach().to(device), requires_grad=False)
        for key, value in part.named_buffers(recurse=False):
            part._buffers[key] = value.to(device)
    text = TextTower(model, tiny.tokenizer)
    scale = tiny.logit_scale.to(device)
    return PromptTask(text, classnames, TEMPLATES, scale, visual=model.visual)


@dataclass(frozen=True)
class Scene:
    """All that a method is given for C clients.

    params, received: tensors, each [C, ...]; server: what it had before. batch: training images;
    memory: all of a client's; exam: test images.
    """

    params: Tensors
    received: Tensors
    batch: Batch
    memory: Batch
    exam: Batch
    server: Tensors = field(default_factory=dict)
    task: PromptTask = field(default_factory=task)

    def of(self, clients: slice) -> Scene:
        """The same for some of the clients."""
        return self.each(lambda t: t[clients])

    def to(self, where: torch.dtype | torch.device, seen: PromptTask) -> Scene:
        """The same in another precision (of floats alone) or on another device."""

        def moved(t: Tensor) -> Tensor:
            return t.to(where) if isinstance(where, torch.device) or t.is_floating_point() else t

        return replace(self.each(moved), task=seen)

    def each(self, change: Callable[[Tensor], Tensor]) -> Scene:
        """The same with every tensor of it changed; the task stays."""
        return Scene(
            params={name: change(t) for name, t in self.params.items()},
            received={name: change(t) for name, t in self.received.items()},
            batch=changed(self.batch, change),
            memory=changed(self.memory, change),
            exam=changed(self.exam, change),
            server=self.server,
            task=self.task,
        )

    def tensors(self) -> Tensors:
        """All of them by what they are, for comparison."""
        found = {f"params[{name!r}]": t for name, t in self.params.items()}
        found |= {f"received[{name!r}]": t for name, t in self.received.items()}
        for name in ("batch", "memory", "exam"):
            found |= {f"{name}.{kind}": t for kind, t in inside(getattr(self, name)).items()}
        return found


def inside(batch: Batch) -> Tensors:
    """A batch's tensors but for the fixed ones."""
    return {key: t for key, t in vars(batch).items() if isinstance(t, Tensor)}


def changed(batch: Batch, change: Callable[[Tensor], Tensor]) -> Batch:
    """A batch with every tensor of it changed."""
    kept: dict[str, Any] = {key: change(t) for key, t in inside(batch).items()}
    return replace(batch, **kept, fixed={name: change(t) for name, t in batch.fixed.items()})


def scene(candidate: Candidate, seed: int = 0) -> Scene:
    """Three clients in the middle of a round, all that can differ between them being random.

    What they received went once through upload, aggregate, download and merge.
    """
    noise = torch.Generator().manual_seed(1000 + seed)
    make, trained = candidate.make, candidate.trained()
    specs = make().init(task(), noise)
    start = {name: spec.value.expand(CLIENTS, *spec.value.shape) for name, spec in specs.items()}
    r = round_of(shared=tuple(name for name, spec in specs.items() if spec.shared))

    def spread(tensors: Tensors, names: Collection[str]) -> Tensors:
        return {
            name: t + NOISE * torch.randn(t.shape, generator=noise) if name in names else t.clone()
            for name, t in tensors.items()
        }

    server = before = make().begin(specs, CLIENTS)
    ended = spread(make().merge(dict(start), make().download(server, r)), trained)
    ended |= make().end_round(ended, r)
    sent = make().upload(ended, r)
    if sent:
        server = make().aggregate(server, sent, r)
    received = make().download(server, r)
    params = spread(
        make().merge(ended | {name: start[name] for name in trained}, received), trained
    )
    received = spread(received, [name for name, t in received.items() if t.is_floating_point()])
    method = make()
    batch = _batch(method.step_inputs, noise)
    memory, exam = (_batch(method.inputs, noise) for _ in range(2))
    allowed = torch.rand(CLIENTS, len(CLASSES), generator=noise) < 0.5
    batch = replace(batch, class_mask=_with_own(allowed, batch), expected=batch.mask.sum(1) / 2)
    exam = replace(exam, labels=None, mirrored=None, training=False, clients=None, generator=None)
    return Scene(params, received, batch, memory, exam, before)


def _with_own(allowed: Tensor, batch: Batch) -> Tensor:
    assert batch.labels is not None
    return allowed.scatter(1, batch.labels, True)


def _batch(inputs: frozenset[str], noise: torch.Generator) -> Batch:
    shape, width = (CLIENTS, IMAGES), task().embed_dim
    count = IMAGES - torch.arange(CLIENTS)
    patches = F.normalize(torch.randn(*shape, PATCHES, width, generator=noise), dim=-1)
    return Batch(
        mask=torch.arange(IMAGES) < count[:, None],
        pooled=F.normalize(torch.randn(*shape, width, generator=noise), dim=-1),
        patches=patches if "patches" in inputs else None,
        embedded=embedded(shape, noise) if "pixels" in inputs else None,
        norms=5 + torch.rand(shape, generator=noise) if "norms" in inputs else None,
        mirrored=_unit((*shape, width), noise) if "mirrored" in inputs else None,
        labels=torch.randint(len(CLASSES), shape, generator=noise),
        trained_on=CLASSES,
        clients=torch.arange(CLIENTS),
        generator=partial(rng.generator, 0),
    )


def _unit(shape: tuple[int, ...], noise: torch.Generator) -> Tensor:
    return F.normalize(torch.randn(shape, generator=noise), dim=-1)


def embedded(shape: tuple[int, ...], noise: torch.Generator) -> Tensor:
    """Patches before the image tower, [*shape, L, w]."""
    width = task().image_width
    return 0.3 * torch.randn(*shape, 1 + PATCHES, width, generator=noise)


@dataclass(frozen=True)
class Player:
    """What the engine does with a method, hook by hook. make: gives the object for each call."""

    make: Callable[[], Method]
    trained: tuple[str, ...]

    @classmethod
    def anew(cls, candidate: Candidate) -> Self:
        """Every hook is called on an object that no other hook has seen."""
        return cls(candidate.make, candidate.trained())

    @torch.no_grad()
    def fixed(self, at: Scene) -> Tensors:
        """What stays fixed beside the images."""
        kept = self.make().memory(at.task, at.memory)
        return kept | self.make().prepare(at.params, at.received, at.task)

    def step(self, at: Scene) -> tuple[Tensors, Tensors]:
        """The loss terms, each [C], and gradients, each [C, ...]; none where nothing is trained."""
        if not self.trained:
            return {}, {}
        batch = replace(at.batch, fixed=self.fixed(at))
        return step_gradients(self.make(), at.params, self.trained, batch, at.task)

    @torch.no_grad()
    def answer(self, at: Scene, asked: PromptTask | None = None) -> Tensor:
        """Logits of the test images, [C, B, K]; asked: another class list than the trained one."""
        exam, asked = replace(at.exam, fixed=self.fixed(at)), asked or at.task
        text = self.make().encode(at.params, asked)
        return self.make().logits(at.params, text, exam, asked)

    def results(self, at: Scene) -> Tensors:
        """Everything that comes of a step and an exam, by what it is."""
        terms, grads = self.step(at)
        found = {f"loss {name!r}": t for name, t in terms.items()}
        found |= {f"gradient of {name!r}": t for name, t in grads.items()}
        return found | {"logits": self.answer(at)}


def round_of(clients: int = CLIENTS, shared: tuple[str, ...] = ()) -> Round:
    """A first round in which these clients take part."""

    def generator(purpose: str, client: int | None) -> torch.Generator:
        return rng.generator(0, purpose, "server" if client is None else client)

    return Round(
        index=1,
        clients=torch.arange(clients),
        sizes=5 + torch.arange(clients),
        times=torch.zeros(clients, dtype=torch.long),
        shared=shared,
        generator=generator,
        total=CLIENTS,
    )


TESTS = 14


def federation(method: Method) -> Federation:
    """Four clients of a small cell: base classes to train on, two others to be asked about."""
    base, novel = np.arange(len(CLASSES)), len(CLASSES) + np.arange(len(OTHERS))
    ends = np.cumsum((0, *SIZES))
    train = images_for(method, sum(SIZES), len(CLASSES), seed=1)
    rows = tuple(np.arange(a, b) for a, b in pairwise(ends))
    mask = np.stack([np.isin(base, train.labels[own]) | (base == 0) for own in rows])
    scenario = Clients(
        train_rows=rows,
        train_classes=base,
        class_mask=mask,
        exams=(_exam("local", base, len(SIZES)), _exam("novel", novel, len(SIZES))),
        shared_exams=(_exam("global", base, 1),),
        client_names=tuple(f"client {c}" for c in range(len(SIZES))),
    )
    whole = task(CLASSES + OTHERS)
    return Federation(method, whole.subset, scenario, train, 0, torch.device("cpu"))


def exam_images(method: Method) -> Images:
    """What a federation's clients are asked about."""
    return images_for(method, TESTS, len(CLASSES + OTHERS), seed=2)


def _exam(name: str, classes: IntArray, clients: int) -> Exam:
    rows = np.flatnonzero(np.isin(np.arange(TESTS) % len(CLASSES + OTHERS), classes))
    table = np.tile(rows, (clients, 1))
    return Exam(classes, table, {name: Question(np.ones_like(table, dtype=bool))})


def images_for(method: Method, count: int, classes: int, seed: int) -> Images:
    """Random features, those that the method asks for; every class comes in turn."""
    noise = torch.Generator().manual_seed(seed)
    width = task().embed_dim
    patches = F.normalize(torch.randn(count, PATCHES, width, generator=noise), dim=-1)
    return Images(
        labels=np.arange(count, dtype=np.int64) % classes,
        pooled=F.normalize(torch.randn(count, width, generator=noise), dim=-1),
        patches=patches if "patches" in method.inputs else None,
        embedded=embedded((count,), noise) if "pixels" in method.inputs else None,
        norms=5 + torch.rand(count, generator=noise) if "norms" in method.inputs else None,
        mirrored=_unit((count, width), noise) if "mirrored" in method.inputs else None,
    )
