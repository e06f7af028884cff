"""Feature shift: clients have images of different styles, and perhaps one style nobody has."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import ClassVar, Self

import numpy as np
from pydantic import Field

from fplbench.data.names import composed
from fplbench.dataset import Data, IntArray
from fplbench.errors import UserError
from fplbench.rng import numpy_generator
from fplbench.scenario import Clients, Scenario, Settings, option
from fplbench.scenarios._budgets import FEDPGP
from fplbench.split import partition
from fplbench.split.exams import domain_exam, shared_domain_rows, shared_exam
from fplbench.split.whole import shots_note

EACH = "each"
NO_DOMAINS = "the data set has no domains, which the scenario `domains` needs: choose another one"


class Domains(Scenario):
    """A client a domain, or several that share a domain's training images by Dirichlet(alpha)."""

    name = "domains"
    summary = "a client a domain, or several; tested by domain, also on one held out of training"
    training_defaults: ClassVar = FEDPGP
    headline = (
        *("domains", "global_domains", "hold_out", "global_hold_out"),
        *("unseen", "global_unseen"),
    )
    trade_off = ("domains", "global_domains")

    class Config(Settings):
        clients_per_domain: int = Field(
            1, ge=1, description="1 in FedPGP's script for Office; 5 in pFedMoAP, tables 3 and 4."
        )
        alpha: float = Field(
            0.3,
            gt=0,
            allow_inf_nan=False,
            description="Dirichlet over labels inside a domain where clients share one; 0.3 in "
            "pFedMoAP, tables 3 and 4.",
        )
        shots: int | None = Field(
            None,
            ge=1,
            description="Training images of each class on each client; all of them in pFedMoAP.",
        )
        min_train: int = Field(
            10,
            ge=1,
            description="Fewest training images of a client, before shots; 10 as in NIID-Bench.",
        )
        hold_out: str | None = Field(
            None,
            description="A domain that nobody trains on, reported as `hold_out`; `each` stands for "
            "one cell a domain.",
        )
        source: str | None = option(
            None,
            description="The only domain that is trained on, single-source domain generalization; "
            "all others are reported as `unseen`; `each` stands for one cell a domain.",
        )

    config: Config

    def expand(self, domains: Sequence[str]) -> list[Self]:
        chosen = {"hold_out": self.config.hold_out, "source": self.config.source}
        given = {key: name for key, name in chosen.items() if name is not None}
        if len(given) > 1:
            raise UserError(
                "hold_out and source are two questions: a domain left out, and one that is trained "
                "on alone; give one of them"
            )
        for key, name in given.items():
            if name == EACH:
                return [self._with(key, each) for each in _each(domains)]
            if name != composed(name):  # typed on a Mac
                return [self._with(key, composed(name))]
        return [self]

    def _with(self, key: str, name: str) -> Self:
        return type(self)(self.config.model_copy(update={key: name}))

    def build(self, data: Data, seed: int) -> Clients:
        mine = self.config
        held_out = _index("hold_out", "to hold out", mine.hold_out, data.domains)
        source = _index("source", "to train on", mine.source, data.domains)
        every = range(len(data.domains))
        seen = [i for i in every if i != held_out and source in (None, i)]
        if not data.domains or data.train.domains is None or data.test.domains is None:
            raise UserError(NO_DOMAINS)
        if not seen:
            raise UserError(
                f"holding out {data.domains[0]} leaves none to train on: it is the only domain"
            )
        if source is not None and len(data.domains) == 1:
            raise UserError(f"{data.domains[0]} is the only domain, so none is unseen")
        train = [rows for index in seen for rows in self._share(data, index, seed)]
        homes = [index for index in seen for _ in range(mine.clients_per_domain)]
        classes = np.arange(len(data.classnames))
        tests = {index: np.flatnonzero(data.test.domains == index) for index in every}
        away = {
            "hold_out" if source is None else f"unseen/{data.domains[index]}": tests[index]
            for index in every
            if index not in seen
        }
        trained = {index: tests[index] for index in seen}
        cut = numpy_generator(seed, "split", "domains", "shots")
        kept = partition.cut_to_shots(train, data.train.labels, mine.shots, cut)
        return Clients(
            train_rows=tuple(kept),
            train_classes=classes,
            class_mask=None,
            exams=(domain_exam(data.domains, classes, trained, homes, away),),
            shared_exams=(shared_exam(classes, shared_domain_rows(data.domains, trained, away)),),
            client_names=self._names(data.domains, seen),
        )

    def describe(self) -> str:
        mine = self.config
        clients = (
            "a client a domain"
            if mine.clients_per_domain == 1
            else f"{mine.clients_per_domain} clients a domain, Dirichlet({mine.alpha:g})"
        )
        held = "" if mine.hold_out is None else f", {mine.hold_out} held out"
        alone = "" if mine.source is None else f", {mine.source} alone trained on"
        return clients + shots_note(mine.shots) + held + alone

    def _share(self, data: Data, domain: int, seed: int) -> list[IntArray]:
        """The training rows of each client of a domain."""
        mine, name = self.config, data.domains[domain]
        rows = np.flatnonzero(data.train.domains == domain)
        if len(rows) == 0:
            raise UserError(f"the client of domain {name} would be empty: no training images")
        if mine.clients_per_domain == 1:
            return [rows]
        try:
            parts, _ = partition.dirichlet(
                data.train.labels[rows],
                np.empty(0, dtype=np.int64),
                mine.clients_per_domain,
                mine.alpha,
                (mine.min_train, 0),
                numpy_generator(seed, "split", "domains", "dirichlet", name),
            )
        except UserError as error:
            raise UserError(f"domain {name}: {error}") from None
        return [rows[part] for part in parts]

    def _names(self, domains: Sequence[str], seen: Sequence[int]) -> tuple[str, ...]:
        """A client is called after its domain, numbered where it shares one."""
        count = self.config.clients_per_domain
        if count == 1:
            return tuple(domains[index] for index in seen)
        return tuple(f"{domains[index]} {number}" for index in seen for number in range(count))


def _each(domains: Sequence[str]) -> Sequence[str]:
    """The domains that `each` stands for."""
    if not domains:
        raise UserError(NO_DOMAINS)
    if EACH in domains:
        raise UserError(
            f"a domain is called {EACH!r}, which stands for every domain in turn: rename its folder"
        )
    return domains


def _index(setting: str, what: str, name: str | None, domains: Sequence[str]) -> int | None:
    """Which domain a setting names. what: it is there for."""
    if name is None or not domains:
        return None
    if name == EACH:
        raise ValueError(f"{setting}='each' stands for several scenarios: expand it first")
    if name not in domains:
        near = difflib.get_close_matches(name, domains, n=1, cutoff=0.0)[0]
        raise UserError(
            f"there is no domain {name!r} {what}, did you mean {near!r}? "
            f"The domains are {', '.join(domains)}"
        )
    return list(domains).index(name)
