"""The state of a federation between rounds, and a client's model put together from it.

Private tensors of all clients stay on the host (private.py); only the clients of a chunk are
brought to the device. A client that was never sampled has its initial private tensors and receives
the current shared ones, like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fplbench import rng
from fplbench.dataset import IntArray
from fplbench.engine import newcomers
from fplbench.engine.local_data import LocalData, pad_rows
from fplbench.engine.private import private
from fplbench.features.images import Images
from fplbench.method import Method, Param, Round, Task, Tensors
from fplbench.scenario import Clients

KINDS = ("pooled", "patches", "embedded", "norms", "mirrored")
"""Of features, as images have them."""
SERVER = "server."
NUDGE = 1e-6
"""How far a moved start is from the one drawn: about eight times float32's rounding."""


@dataclass(frozen=True)
class Models:
    """The models of C clients on the device: tensors [C, ...] and what stays fixed beside them.

    received_bytes: what the C clients were sent together.
    alone: whether this is the shared prompt alone and no client's model.
    """

    params: Tensors
    fixed: Tensors
    received_bytes: int
    alone: bool = False


class Federation:
    """Clients and server of one cell.

    task_for: from class indices [K] to the task over those classes. nudge: see Training.
    new: the share of the clients that take no part in training; `newcomers` are their ids.
    evaluated: how many are tested, of those that train and of the new ones each, drawn from the
    seed; 0 for all. `tested` are their ids. folder: where clients' tensors go that are too many for
    memory, and where a cell that is to go on left them.
    """

    def __init__(
        self,
        method: Method,
        task_for: Callable[[IntArray], Task],
        scenario: Clients,
        train: Images,
        seed: int,
        device: torch.device,
        nudge: int = 0,
        new: float = 0.0,
        evaluated: int = 0,
        folder: Path | None = None,
    ) -> None:
        self.method = method
        self.task_for = task_for
        self.scenario = scenario
        told = scenario.train_labels
        self.images = train if told is None else replace(train, labels=told)
        self.seed = seed
        self.device = device
        self.nudge = nudge
        self.task = task_for(scenario.train_classes)
        self.sizes = torch.tensor([len(rows) for rows in scenario.train_rows])
        self.times = torch.zeros(len(self.sizes), dtype=torch.long)
        self.newcomers, self.taking_part = newcomers.choose(self.clients, new, seed)
        parts = (self.taking_part, self.newcomers)
        self.tested = torch.cat([newcomers.sample(part, evaluated, seed) for part in parts])
        self._start(folder)

    @property
    def private(self) -> Tensors:
        """What every client keeps, [clients, ...]."""
        return self.kept.all()

    @property
    def clients(self) -> int:
        return len(self.sizes)

    def _start(self, folder: Path | None) -> None:
        first = self._drawn()
        self.specs: dict[str, Param] = first
        self.trained = tuple(name for name, p in first.items() if p.trained)
        self.shared = tuple(name for name, p in first.items() if p.shared)
        self.server: Tensors = self.method.begin(first, self.clients)
        start = {name: p.value for name, p in first.items() if not p.shared}
        own = [name for name in start if first[name].init == "per client"]

        def drawn(client: int) -> Tensors:
            mine = self._drawn(client) if own else {}
            return {name: mine[name].value for name in own}

        self.kept = private(self.clients, start, drawn, folder)

    def _drawn(self, *client: int) -> dict[str, Param]:
        """What a client starts from, or all of them where none is named; moved by a nudge."""
        first = self.method.init(self.task, rng.generator(self.seed, "init", *client))
        return {
            name: self._moved(name, spec, client) if self.nudge and spec.trained else spec
            for name, spec in first.items()
        }

    def _moved(self, name: str, spec: Param, client: Sequence[int]) -> Param:
        value = spec.value.double()
        g = rng.generator(self.seed, "nudge", self.nudge, name, *client)
        noise = torch.randn(value.shape, generator=g, dtype=torch.float64)
        return replace(spec, value=(value * (1 + NUDGE * noise)).to(spec.value.dtype))

    def round_of(self, clients: Tensor, index: int) -> Round:
        """The Round these clients see in round `index`."""

        def generator(purpose: str, client: int | None) -> torch.Generator:
            who = "server" if client is None else client
            return rng.generator(self.seed, "method", purpose, who, index)

        return Round(
            index=index,
            clients=clients,
            sizes=self.sizes[clients],
            times=self.times[clients],
            shared=self.shared,
            generator=generator,
            total=self.clients,
        )

    def generator_of(self, index: int) -> Callable[[str, int, int], torch.Generator]:
        """Where the local steps of a round draw from, by purpose, client and step."""

        def generator(purpose: str, client: int, step: int) -> torch.Generator:
            return rng.generator(self.seed, "step", purpose, client, index, step)

        return generator

    @torch.no_grad()
    def models(self, r: Round, data: LocalData | None, tested: bool = False) -> Models:
        """What the clients of r start from: their own tensors and what they receive.

        data: their training images, for methods with a memory; None leaves the memory empty.
        tested: whether it is for a test.
        """
        count, own = len(r.clients), self.kept.of(r.clients)
        params = {
            name: (
                self.specs[name].value.expand(count, *self.specs[name].value.shape)
                if name in self.shared
                else own[name]
            ).to(self.device)
            for name in self.specs
        }
        bring = self.method.for_test if tested else self.method.download
        received = bring(self.server, r)
        sent = sum(t.numel() * t.element_size() for t in received.values())
        received = {name: t.to(self.device) for name, t in received.items()}
        params = {name: t.clone() for name, t in self.method.merge(params, received).items()}
        fixed: Tensors = {}
        if data is not None and self.method.remembers:
            fixed = self.method.memory(self.task, data.everything())
        fixed = fixed | self.method.prepare(params, received, self.task)
        return Models(params, fixed, sent)

    @torch.no_grad()
    def shared_model(self) -> Models | None:
        """The shared prompt alone, as one client without memory; None where there is none."""
        received = self.method.for_test(self.server, self.round_of(torch.zeros(1).long(), 0))
        params = {
            name: (received[name] if name in self.shared else spec.value[None]).to(self.device)
            for name, spec in self.specs.items()
        }
        alone = self.method.alone(params, self.shared)
        return None if alone is None else Models(alone, {}, 0, alone=True)

    @torch.no_grad()
    def local_data(self, clients: Sequence[int], epochs: Sequence[int] = ()) -> LocalData:
        """The training images of these clients, on the device.

        epochs: those to be trained, counted from 0 over all rounds. On the host images without
        views are read where they are; otherwise those needed are moved in one piece.
        """
        index, mask = pad_rows([self.scenario.train_rows[c] for c in clients])
        classes = torch.from_numpy(self.scenario.train_classes)
        last = max(int(self.images.labels.max()), int(classes.max()))  # one may have no image
        position = torch.full((last + 1,), -1, dtype=torch.long)
        position[classes] = torch.arange(len(classes))
        labels = position[torch.from_numpy(np.asarray(self.images.labels))[index]]
        labels = labels.masked_fill(~mask, 0)  # the padding may be of a class of no place
        class_mask = self.scenario.class_mask
        views = [self.images.epoch_view(epoch) for epoch in epochs]
        used = sorted({0, *views})
        found: dict[str, Any] = {kind: getattr(self.images, kind) for kind in KINDS}
        plain = index
        if used != [0] or self.device.type != "cpu":
            rows, plain = index.unique(return_inverse=True)
            every = [[self.images, *self.images.views][view] for view in used]
            found = {
                kind: None
                if first is None
                else torch.cat([getattr(view, kind)[rows] for view in every])
                for kind, first in found.items()
            }
            step = len(rows)
        else:
            step = 0
        by_epoch = [plain + step * used.index(view) for view in views]
        return LocalData(
            plain=plain.to(self.device),
            rows=(torch.stack(by_epoch) if by_epoch else plain[None]).to(self.device),
            labels=labels.to(self.device),
            mask=mask.to(self.device),
            pooled=found["pooled"].to(self.device),
            patches=_on(self.device, found["patches"]),
            embedded=_on(self.device, found["embedded"]),
            norms=_on(self.device, found["norms"]),
            mirrored=_on(self.device, found["mirrored"]),
            class_mask=(
                None
                if class_mask is None
                else torch.from_numpy(class_mask[list(clients)]).to(self.device)
            ),
            trained_on=self.task.classnames,
            patches_in_steps="patches" in self.method.step_inputs,
        )

    def keep(self, clients: Tensor, params: Tensors) -> None:
        """Store the private tensors that clients bring back from a round."""
        self.kept.keep(clients, params)

    def aggregate(self, sent: Tensors, r: Round) -> None:
        """End a round: the method makes the server's tensors of those sent, each [C, ...]."""
        if sent:
            self.server = self.method.aggregate(self.server, sent, r)
        self.times[r.clients] += 1

    def state_dict(self) -> Tensors:
        """All that rounds change: "server.NAME", what clients keep ("private.NAME" [clients, ...],
        or where it lies in files) and "times", how often each client took part. The tensors
        themselves, which the next round changes."""
        server = {f"{SERVER}{name}": t for name, t in self.server.items()}
        return server | self.kept.state() | {"times": self.times}

    def saved(self) -> None:
        """The last `state_dict` is where a later run will find it."""
        self.kept.saved()

    def load_state_dict(self, state: Tensors) -> None:
        """Go on from a `state_dict` of the same cell. ValueError: it is of another one, or files
        do not hold what it says; the federation is as it was."""
        self.kept.load(state)
        self.server = {
            name.removeprefix(SERVER): t.clone()
            for name, t in state.items()
            if name.startswith(SERVER)
        }
        self.times = state["times"].clone()

    def tensors(self) -> Tensors:
        """What a cell ends with: "server.NAME", "private.NAME" [clients, ...]; where clients are so
        many that they lie in files, of those alone that "private.clients" names."""
        server = {f"{SERVER}{name}": t for name, t in self.server.items()}
        return server | self.kept.everything()


def _on(device: torch.device, features: Tensor | None) -> Tensor | None:
    return None if features is None else features.to(device)


def gather(features: Tensor, index: Tensor, device: torch.device) -> Tensor:
    """features [M, ...] at index [...], on the device, in float32."""
    return features[index].to(device).float()
