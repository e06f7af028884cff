"""The contract of a strategy: one file in fplbench/strategies/ (or a plug-in) with one subclass of
Strategy.

A method says what is learned, a strategy how it travels: which tensors are shared, what is sent,
what the server makes of it, what is added to the local loss or gradient, and what a client does
before it is tested. A strategy is made around a method and is a method itself, with the hooks of
`fplbench.method`: so the engine sees one object, and any method goes with any strategy.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import ClassVar, Self

import torch
from torch import Tensor

from fplbench.method import (
    TRAVEL,
    Batch,
    Method,
    Param,
    Round,
    Settings,
    Task,
    Tensors,
)
from fplbench.plugins.base import Fact as Fact
from fplbench.plugins.base import one_line
from fplbench.spec import OWN, Setup

OWN_WAY = (*TRAVEL, "for_test", "by_image", "of_images")
"""Hooks that are a strategy's where there is one: a learner that has any of them has a way of its
own."""


class Strategy(Method):
    """A way to federate a method, `learner`.

    What a hook does not say is the learner's, but for what travels (`TRAVEL`): there the default
    is FedAvg's, of the tensors that `init` calls shared.

    adds: the terms of the loss that are its own. Their gradient is added to what the learner makes
    of its own terms, which it may put together by name.
    """

    kind = "strategy"
    adds: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, config: Settings, learner: Method) -> None:
        super().__init__(config)
        self.learner = learner

    @classmethod
    def complaint(cls) -> str | None:
        if cls.name == OWN:
            return f"{cls.__name__}.name: {OWN!r} stands for a method's own travel; take another"
        variants: object = cls.variants
        if not isinstance(variants, Mapping):
            return f"{cls.__name__}.variants must map a name to settings"
        for variant, settings in ({"its defaults": {}} | dict(variants)).items():
            try:
                cls.Config(**settings)
            except Exception as error:
                return f"{cls.__name__} cannot be made with {variant}: {one_line(error)}"
        return None

    def set_up(self, setup: Setup) -> Self:
        made = super().set_up(setup)
        made.learner = self.learner.set_up(setup)
        return made

    def facts(self) -> dict[str, Fact]:
        """What the record says of the run of `setup`, by name: what no setting says."""
        return {}

    @property
    def label(self) -> str:
        return f"{self.learner.label} with {self.title}"

    @property
    def inputs(self) -> frozenset[str]:
        return self.learner.inputs

    @property
    def step_inputs(self) -> frozenset[str]:
        return self.learner.step_inputs

    @property
    def apart(self) -> bool:
        return self.learner.apart

    @property
    def remembers(self) -> bool:
        return self.learner.remembers

    @property
    def test_epochs(self) -> int:
        return self.learner.test_epochs

    def init(self, task: Task, generator: torch.Generator) -> dict[str, Param]:
        """The learner's tensors, shared as it says; a learner on its own shares all it trains."""
        specs = self.learner.init(task, generator)
        if any(spec.trained and spec.shared for spec in specs.values()):
            return specs
        return {name: replace(spec, shared=spec.trained) for name, spec in specs.items()}

    def refusal(self, specs: Mapping[str, Param]) -> str | None:
        """Why it cannot go with a learner whose `init` gives these, as a clause; None where it
        can."""
        return None if any(s.trained for s in specs.values()) else "nothing of it is trained"

    def encode(self, params: Tensors, task: Task) -> Tensors:
        return self.learner.encode(params, task)

    def logits(self, params: Tensors, text: Tensors, batch: Batch, task: Task) -> Tensor:
        return self.learner.logits(params, text, batch, task)

    def losses(self, params: Tensors, batch: Batch, task: Task) -> Tensors:
        return self.learner.losses(params, batch, task)

    def gradients(self, by_term: dict[str, Tensors], params: Tensors, batch: Batch) -> Tensors:
        of_learner = {term: g for term, g in by_term.items() if term not in self.adds}
        found = self.learner.gradients(of_learner, params, batch)
        for term in self.adds & by_term.keys():
            found = {name: g + by_term[term][name] for name, g in found.items()}
        return found

    def after_step(self, params: Tensors, grads: Tensors, batch: Batch) -> Tensors:
        return self.learner.after_step(params, grads, batch)

    def end_round(self, params: Tensors, r: Round) -> Tensors:
        return self.learner.end_round(params, r)

    def memory(self, task: Task, batch: Batch) -> Tensors:
        return self.learner.memory(task, batch)

    def prepare(self, params: Tensors, received: Tensors, task: Task) -> Tensors:
        return self.learner.prepare(params, received, task)

    def weights(self, r: Round) -> Tensor:
        return self.learner.weights(r)

    def shared_only(self, params: Tensors) -> Tensors | None:
        return self.learner.shared_only(params)

    def alone(self, params: Tensors, shared: Collection[str]) -> Tensors | None:
        """The learner's; a model of which nothing is private is its own."""
        own = self.learner.shared_only(params)
        return params if own is None and params.keys() <= set(shared) else own

    def supports(self, task: Task, metric: str, trained: Task) -> bool:
        return self.learner.supports(task, metric, trained)


def learner_of(method: Method) -> Method:
    """What is learned, whatever strategy is around it."""
    return method.learner if isinstance(method, Strategy) else method


def refusal(learner: type[Method], strategy: type[Strategy]) -> str | None:
    """Why a method's class refuses a strategy, as a sentence; None where it does not."""
    fits = learner.strategies
    if fits is None:
        own = [hook for hook in OWN_WAY if getattr(learner, hook) is not getattr(Method, hook)]
        if not own:
            return None
        why = f"it says itself what travels ({', '.join(own)})"
    elif strategy.name in fits:
        return None
    else:
        why = f"it makes sense with {', '.join(sorted(fits))}" if fits else "it has its own"
    return (
        f"{learner.name} does not go with the strategy {strategy.name}: {why}; leave the "
        f"method out or take {OWN}, its own."
    )


def squared_distance(params: Tensors, others: Tensors) -> Tensor:
    """[C]: ||params - others||^2 over the tensors of `others`, each [C, ...]."""
    each = [(params[name] - other).flatten(1).square().sum(1) for name, other in others.items()]
    return torch.stack(each).sum(0)
