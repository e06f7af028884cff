"""The contract of a method: one file in methods/ (or a plug-in) with one subclass of Method.

Axes: C clients trained together, B images of a client's batch, N prompts, n context vectors,
d the text tower's width, K classes, D the joint space, M patches of an image.
Clients are an axis of every tensor, never a loop: the engine stacks what `init` gives for one
client, and everything a method computes for client c must depend on row c alone.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Protocol, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from fplbench.clip.adapters import Adapters, Projections
from fplbench.clip.prompts import Position as Position
from fplbench.clip.prompts import Read as Read
from fplbench.plugins.base import Plugin, one_line
from fplbench.plugins.base import Settings as Settings
from fplbench.spec import Setup

Tensors = dict[str, Tensor]
EVERYBODY = -1
"""In place of a client's id: a draw that is the same for all."""
INPUTS = frozenset({"pooled", "patches", "pixels", "norms", "mirrored"})
OF_TRAINING = frozenset({"mirrored"})
"""Those of the inputs that training images alone have."""
TRAVEL = ("begin", "upload", "aggregate", "download", "merge")
"""The hooks of a method that say what travels and what is made of it."""


@dataclass(frozen=True)
class Param:
    """One tensor of one client, without the client axis.

    shared: the server averages it and every client starts a round from the server's value;
    otherwise it stays on its client.
    init: "same" gives all clients this value; "per client" draws it anew for each client, from
    that client's own generator.
    lr_scale, decay_scale: this tensor's learning rate and weight decay over the cell's.
    idle: nothing that is computed depends on it, so that weight decay alone moves it.
    """

    value: Tensor
    trained: bool = True
    shared: bool = True
    init: Literal["same", "per client"] = "same"
    lr_scale: float = 1.0
    decay_scale: float = 1.0
    idle: bool = False


class Task(Protocol):
    """A class list seen through the frozen text tower."""

    @property
    def classnames(self) -> tuple[str, ...]: ...

    @property
    def width(self) -> int:
        """d, the size of a context vector."""

    @property
    def embed_dim(self) -> int:
        """D, the size of a feature."""

    @property
    def logit_scale(self) -> Tensor:
        """Scalar, already exponentiated."""

    @property
    def clip_text_features(self) -> Tensor:
        """[K, D], unit length: CLIP's own, from the data set's hand-written templates."""

    @property
    def templates(self) -> tuple[str, ...]:
        """The data set's hand-written prompts, each with one "{}" for the class name."""

    @property
    def own_templates(self) -> tuple[tuple[str, ...], ...]:
        """[K], those of each class, where classes come from data sets with others."""

    def encode_prompts(
        self,
        ctx: Tensor,
        position: Position = "end",
        names: Sequence[str] | None = None,
        deep: Mapping[int, Tensor] | None = None,
        adapters: Adapters | None = None,
        lengths: Tensor | None = None,
        read: Read = "own",
        projections: Projections | None = None,
    ) -> Tensor:
        """Text features of `[SOS][ctx][class name].[EOT]`, not normalised, with gradient to ctx.

        ctx: [C, N, n, d], the same for all classes, or [C, N, K, n, d], one for each class.
        Contexts of their own for each image go into N. Returns [C, N, K, D].
        names: other words in the place of the class names, K of them. deep: layer, from 0 ->
        [C, N, n, d], what takes the context's place at the input of that layer of the tower.
        adapters: place -> what is added there; projections: layer -> what its queries, keys and
        values have added (fplbench.clip.adapters). lengths: [C, N], how many of its n vectors a
        prompt has, the first ones; read: where, see `Read`.
        """

    @property
    def image_width(self) -> int:
        """w, the size of an image prompt's vector."""

    @property
    def layers(self) -> tuple[int, int]:
        """How many the text and the image tower have."""

    def encode_images(
        self,
        embedded: Tensor,
        prompts: Tensor | None = None,
        deep: Mapping[int, Tensor] | None = None,
        adapters: Adapters | None = None,
        projections: Projections | None = None,
    ) -> Tensor:
        """Features of images through the frozen tower, not normalised, with gradient to prompts.

        embedded: `Batch.embedded`. prompts: [C, N, n, w], n vectors behind the patches, without a
        position. deep: layer, from 0 -> [C, N, n, w], what takes their place at the input of that
        layer. adapters, projections: as of `encode_prompts`. Returns [C, N, B, D]; N is 1 without
        prompts.
        """

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """[len(texts), D]: features of whole sentences, not normalised, no gradient."""

    def embed_words(self, text: str) -> Tensor:
        """[tokens, d]: the token embeddings of a text, to start a context from."""


@dataclass(frozen=True)
class Batch:
    """Images of C clients, and what stays fixed beside them.

    mask: [C, B], False where a client has fewer images.
    pooled: [C, B, D], always there; patches: [C, B, M, D], None unless the method's `inputs` ask
    for them, in local steps its `step_inputs`; both unit length along D.
    embedded: [C, B, L, w], class token and patches as the image tower's first norm reads them,
    for methods that ask for "pixels"; see `Task.encode_images`. norms: [C, B], the length of each
    pooled feature before it was made one, for those that ask for "norms". mirrored: [C, B, D], the
    pooled features of the same images with left and right changed, unit length, for those that ask
    for "mirrored"; None in predictions.
    labels: [C, B], places in `trained_on`; None when predictions are wanted.
    class_mask: [C, K], the classes a client trains among; None for all, and in predictions.
    fixed: what `memory` and `prepare` returned for these clients, each [C, ...].
    training: False while predictions are made.
    trained_on: the class names of training, whatever class list is asked about now; labels that
    `memory` kept are places in it.
    step: of the round, from 0. generator: a client's own source of randomness in the round, by
    purpose, client and step; None in predictions, which draw nothing. clients: [C], their ids.
    expected: [C], how many images a batch has on average where each is drawn by its own coin;
    None elsewhere.
    """

    mask: Tensor
    pooled: Tensor
    patches: Tensor | None = None
    embedded: Tensor | None = None
    norms: Tensor | None = None
    mirrored: Tensor | None = None
    labels: Tensor | None = None
    class_mask: Tensor | None = None
    fixed: Tensors = field(default_factory=dict)
    training: bool = True
    trained_on: tuple[str, ...] = ()
    step: int = 0
    clients: Tensor | None = None
    generator: Callable[[str, int, int], torch.Generator] | None = None
    expected: Tensor | None = None

    def asked(self, labels: Tensor, task: Task) -> Tensor:
        """[C, S, K]: 1 where a label is the class asked about, for labels [C, S] that are places in
        `trained_on`, -1 for none. Classes are found by name; where two of those asked about have
        one name, as in ImageNet, by name and order."""
        count, names = len(task.classnames), task.classnames
        times = Counter(names)
        alone = {name: k for k, name in enumerate(names) if times[name] == 1}
        ordered = {each: k for k, each in enumerate(_numbered(names))}
        trained = _numbered(self.trained_on)
        places = [alone.get(each[0], ordered.get(each, count)) for each in trained]
        found = torch.tensor([*places, count]).to(labels.device)[labels]
        return F.one_hot(found, count + 1)[..., :count]

    def draw(
        self,
        purpose: str,
        make: Callable[[torch.Generator], Tensor],
        step: int | None = None,
        alike: bool = False,
    ) -> Tensor:
        """[C, ...]: what `make` draws for each client, on the clients' device.

        step: draws of the same number are the same; by default each step has its own.
        alike: all clients are given one draw.
        """
        if self.generator is None or self.clients is None:
            raise ValueError(f"{purpose}: only local steps draw at random")
        number, clients = self.step if step is None else step, self.clients.tolist()
        if alike:
            one = make(self.generator(purpose, EVERYBODY, number))
            return one.expand(len(clients), *one.shape).to(self.mask.device)
        drawn = [make(self.generator(purpose, c, number)) for c in clients]
        return torch.stack(drawn).to(self.mask.device)


def _numbered(names: Sequence[str]) -> list[tuple[str, int]]:
    """Each name with how many alike stand before it."""
    seen: Counter[str] = Counter()
    found = []
    for name in names:
        found.append((name, seen[name]))
        seen[name] += 1
    return found


@dataclass(frozen=True)
class Round:
    """Who takes part in a round.

    clients, sizes, times: [C], client ids, numbers of training images, rounds taken part in
    before this one. shared: the names of the tensors that travel. `generator(purpose, client)`
    is that purpose's own source of randomness in this round; client None means the server.
    total: how many clients there are.
    """

    index: int
    clients: Tensor
    sizes: Tensor
    times: Tensor
    shared: tuple[str, ...]
    generator: Callable[[str, int | None], torch.Generator]
    total: int


def cross_entropy(logits: Tensor, batch: Batch) -> Tensor:
    """[C]: the mean over a client's own images; classes outside its mask do not compete.

    logits: [C, B, K].
    """
    if batch.labels is None:
        raise ValueError("a loss needs labels; this batch was made for prediction")
    if batch.class_mask is not None:
        logits = logits.masked_fill(~batch.class_mask[:, None, :], float("-inf"))
    each = F.cross_entropy(logits.flatten(0, 1), batch.labels.flatten(), reduction="none")
    return masked_mean(each.view_as(batch.labels), batch.mask)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """[C]: the mean of values [C, B] where mask [C, B]; 0 for a client without any."""
    kept = torch.where(mask, values, torch.zeros_like(values))
    return kept.sum(1) / mask.sum(1).clamp(min=1)


def equal_weights(r: Round) -> Tensor:
    """[C]: every client counts alike."""
    return torch.full([len(r.clients)], 1 / len(r.clients), dtype=torch.float64)


def mean_of(uploads: Tensors, weights: Tensor) -> Tensors:
    """The mean over the clients of each tensor [C, ...], in its own precision; weights: [C]."""
    return {
        name: torch.einsum("c,c...->...", weights.to(sent.device), sent.double()).to(sent.dtype)
        for name, sent in uploads.items()
    }


class Method(Plugin):
    """A method of federated prompt learning.

    The engine calls, in this order: `init` and `begin` once; each round `download`, `merge`,
    `prepare` (no gradient), then for every step `losses`, `gradients` and `after_step`, then
    `end_round`, `upload` and `aggregate`; in evaluation `for_test`, `merge` and `prepare`, `encode`
    once a client and `logits` for its images.

    What travels and what is made of it (`TRAVEL`) may also be a strategy's (fplbench.strategy),
    which then takes the place of the method's own.

    An object holds its settings and, once they are known, the facts of the run that it is for: what
    a hook needs of another comes through its arguments. `fplbench exam NAME` tries that and every
    other promise made here.

    variants: settings that take another way through the code, each with a name; exams and tests
    go through them beside the defaults.
    strategies: names of the strategies that make sense; None: all of them, or none at all where
    the method has a travel of its own.
    """

    kind = "method"
    texts = ("title", "source")
    title: ClassVar[str]
    source: ClassVar[str]
    Config: ClassVar[type[Settings]] = Settings
    variants: ClassVar[Mapping[str, Mapping[str, object]]] = {}
    strategies: ClassVar[frozenset[str] | None] = None
    setup: Setup | None = None

    def __init__(self, config: Settings) -> None:
        self.config = config

    @classmethod
    def complaint(cls) -> str | None:
        variants: object = cls.variants
        if not isinstance(variants, Mapping):
            return f"{cls.__name__}.variants must map a name to settings"
        for variant, settings in ({"its defaults": {}} | dict(variants)).items():
            try:
                made = cls(cls.Config(**settings))
                inputs: object = made.inputs
                in_steps: object = made.step_inputs
            except Exception as error:
                return f"{cls.__name__} cannot be made with {variant}: {one_line(error)}"
            if not isinstance(inputs, frozenset) or not inputs or not inputs <= INPUTS:
                known = ", ".join(sorted(INPUTS))
                return f"{cls.__name__}.inputs must be a frozenset of some of {known}"
            if not isinstance(in_steps, frozenset) or not in_steps <= inputs:
                return f"{cls.__name__}.step_inputs must be a frozenset of some of its inputs"
        return None

    def set_up(self, setup: Setup) -> Self:
        """The same for one run, before `init`: a copy of it with `setup`."""
        made = copy.copy(self)
        made.setup = setup
        return made

    def unfit(self) -> str | None:
        """Why the run of `setup` cannot be, as a sentence without its end; None where it can. Asked
        before anything starts."""
        return None

    @property
    def inputs(self) -> frozenset[str]:
        """What it reads of images: "pooled", "patches", "norms", "mirrored", and "pixels" if it
        changes the image tower.

        A plain attribute of the class will do where no setting decides it.
        """
        return frozenset({"pooled"})

    @property
    def step_inputs(self) -> frozenset[str]:
        """Those of `inputs` that local steps read; a batch of a step is given no other patches."""
        return self.inputs

    @property
    def label(self) -> str:
        """What sentences call it."""
        return self.title

    @property
    def apart(self) -> bool:
        """Whether `gradients` wants the terms of the loss differentiated one by one."""
        return type(self).gradients is not Method.gradients

    @property
    def remembers(self) -> bool:
        """Whether there is a `memory`, for which all of a client's images are gathered."""
        return type(self).memory is not Method.memory

    @property
    def by_image(self) -> bool:
        """Whether local steps take each image by itself: each is in a batch by its own coin
        (Poisson sampling) and has a gradient of its own, of which `of_images` makes a step."""
        return False

    @property
    def test_epochs(self) -> int:
        """Local epochs that a client trains before each test; what they change is not kept."""
        return 0

    @abstractmethod
    def init(self, task: Task, generator: torch.Generator) -> dict[str, Param]:
        """One client's tensors; drawn on the CPU."""

    @abstractmethod
    def logits(self, params: Tensors, text: Tensors, batch: Batch, task: Task) -> Tensor:
        """[C, B, K]. params: each [C, ...]; text: what `encode` returned."""

    def encode(self, params: Tensors, task: Task) -> Tensors:
        """What the logits need and no image changes: text features, each [C, ...]."""
        return {}

    def losses(self, params: Tensors, batch: Batch, task: Task) -> Tensors:
        """The terms of the loss, each [C]; their sum is trained. Cross-entropy by default."""
        logits = self.logits(params, self.encode(params, task), batch, task)
        return {"ce": cross_entropy(logits, batch)}

    def gradients(self, by_term: dict[str, Tensors], params: Tensors, batch: Batch) -> Tensors:
        """The gradient to step along, from the gradient of each term; their sum by default.

        Override it to project, clip or add noise; the engine differentiates the terms one by
        one only then.
        """
        terms = list(by_term.values())
        return {name: torch.stack([g[name] for g in terms]).sum(0) for name in terms[0]}

    def of_images(self, grads: Tensors, batch: Batch) -> Tensors:
        """The gradient to step along, each [C, ...], from that of each image, each [C, B, ...]:
        what `gradients` gives for it alone, 0 where there is none. Called where `by_image`."""
        if batch.expected is None:
            raise ValueError("this batch was not drawn image by image")
        images = batch.expected
        return {name: g.sum(1) / images.view(-1, *[1] * (g.dim() - 2)) for name, g in grads.items()}

    def after_step(self, params: Tensors, grads: Tensors, batch: Batch) -> Tensors:
        """Tensors that are not trained and that a step changes all the same, each [C, ...].

        params: as the step left them; grads: along which it went.
        """
        return {}

    def memory(self, task: Task, batch: Batch) -> Tensors:
        """What a client keeps of its own training images all along, each [C, ...].

        batch: all training images of each client, padded and masked.
        """
        return {}

    def prepare(self, params: Tensors, received: Tensors, task: Task) -> Tensors:
        """What stays fixed for the round, computed from its starting point; each [C, ...]."""
        return {}

    def begin(self, specs: Mapping[str, Param], total: int) -> Tensors:
        """What the server has before the first round; the shared tensors by default.

        total: how many clients there are.
        """
        return {name: spec.value.clone() for name, spec in specs.items() if spec.shared}

    def upload(self, params: Tensors, r: Round) -> Tensors:
        """What the clients send, each [C, ...]; the shared tensors by default."""
        return {name: params[name] for name in r.shared}

    def weights(self, r: Round) -> Tensor:
        """[C], summing to one: what each client counts for; by default its number of images."""
        return r.sizes.to(torch.float64) / r.sizes.sum()

    def aggregate(self, server: Tensors, uploads: Tensors, r: Round) -> Tensors:
        """The server's tensors after the round; by default the mean by `weights`."""
        return mean_of(uploads, self.weights(r))

    def download(self, server: Tensors, r: Round) -> Tensors:
        """What each client receives, each [C, ...]; the server's tensors by default."""
        count = len(r.clients)
        return {name: value.expand(count, *value.shape) for name, value in server.items()}

    def for_test(self, server: Tensors, r: Round) -> Tensors:
        """What each client receives to be tested with; by default as for a round."""
        return self.download(server, r)

    def end_round(self, params: Tensors, r: Round) -> Tensors:
        """Tensors that are not trained and that the end of a client's round changes, each [C, ...];
        before `upload`."""
        return {}

    def merge(self, params: Tensors, received: Tensors) -> Tensors:
        """A client's starting point: its own tensors, those received in place of the shared."""
        return params | {name: value for name, value in received.items() if name in params}

    def shared_only(self, params: Tensors) -> Tensors | None:
        """The shared prompt alone as a model of its own, or None where there is no such thing.

        It is evaluated without any client's memory.
        """
        return None

    def alone(self, params: Tensors, shared: Collection[str]) -> Tensors | None:
        """`shared_only`, for who has to know which tensors are shared."""
        return self.shared_only(params)

    def supports(self, task: Task, metric: str, trained: Task) -> bool:
        """Whether this metric means anything for the method; if not, it is reported as n/a.

        task: over the classes that the metric asks about; trained: over those of training.
        """
        return True
