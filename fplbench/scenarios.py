"""The scenarios: how a data set becomes clients, and what each is asked.

`SCENARIOS` maps a name to its kind. The settings of a kind are a pydantic model that can build
the scenario; defaults are the literature's, with the source in each field's description.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import Field

from fplbench import partition
from fplbench.dataset import Data, IntArray
from fplbench.errors import UserError
from fplbench.exams import class_exam, domain_exam, own_exam, shared_domain_rows, shared_exam
from fplbench.rng import numpy_generator
from fplbench.scenario import Scenario, ScenarioSettings

EACH = "each"


@dataclass(frozen=True)
class ScenarioKind:
    """A scenario by name.

    training_defaults: rounds, local_epochs and participation where the user names none.
    """

    name: str
    summary: str
    Settings: type[ScenarioSettings]
    training_defaults: Mapping[str, float | int]

    def build(self, data: Data, settings: ScenarioSettings, seed: int) -> Scenario:
        """See ScenarioSettings.build."""
        return settings.build(data, seed)

    def describe(self, settings: ScenarioSettings) -> str:
        """See ScenarioSettings.describe."""
        return settings.describe()

    def expand(self, domains: Sequence[str], settings: ScenarioSettings) -> list[ScenarioSettings]:
        """See ScenarioSettings.expand; domains: the data set's domain names."""
        return settings.expand(domains)


class ByClass(ScenarioSettings):
    """Settings of the two scenarios that deal whole classes to clients."""

    clients: int = Field(
        10,
        description="Clients, each with classes of its own; 10 in FedOTP's and FedPGP's scripts "
        "and in pFedMoAP, table 1.",
    )
    shots: int = Field(
        16,
        description="Training images of each class, all of them where there are fewer; 16 in "
        "FedPGP's script and in FedMGP, table 1.",
    )

    def describe(self) -> str:
        return f"{self.clients} clients with classes of their own, {self.shots} shots"

    def train_rows(
        self, data: Data, dealt: Sequence[IntArray], seed: int, name: str
    ) -> tuple[IntArray, ...]:
        """At most `shots` random images of each class, to the client that holds the class.

        The images of a class depend on the seed alone, not on who holds the class.
        """
        labels = data.train.labels
        cut = numpy_generator(seed, "split", name, "shots")
        kept = partition.few_shots(labels, self.shots, cut)
        rows = tuple(np.flatnonzero(kept & np.isin(labels, own)) for own in dealt)
        for client, (mine, own) in enumerate(zip(rows, dealt, strict=True)):
            if len(mine) == 0:
                names = ", ".join(data.classnames[label] for label in own)
                raise UserError(
                    f"client {client} would be empty: its {len(own)} classes ({names}) have no "
                    "training images; use fewer clients"
                )
        return rows

    def deal(self, classes: IntArray, what: str, seed: int, name: str) -> list[IntArray]:
        """Shuffle the classes and deal them; each client gets at least one."""
        if self.clients > len(classes):
            raise UserError(
                f"{self.clients} clients cannot share {len(classes)} {what} without overlap: use "
                f"at most {len(classes)} clients"
            )
        return partition.deal(classes, self.clients, numpy_generator(seed, "split", name, "deal"))


class Base2Novel(ByClass):
    """The first half of the classes is base and dealt to clients; the rest nobody trains on."""

    def build(self, data: Data, seed: int) -> Scenario:
        if len(data.classnames) < 2:
            raise UserError(
                f"base2novel needs at least 2 classes, but there are {len(data.classnames)}"
            )
        base, novel = partition.halves(len(data.classnames))
        dealt = self.deal(base, "base classes", seed, "base2novel")
        base_rows, novel_rows = rows_of(data.test.labels, base), rows_of(data.test.labels, novel)
        return Scenario(
            train_rows=self.train_rows(data, dealt, seed, "base2novel"),
            train_classes=base,
            class_mask=None,
            exams=(
                class_exam(data.test.labels, base_rows, base, dealt, "base"),
                own_exam("novel", novel, [novel_rows] * self.clients),
            ),
            shared_exams=(
                shared_exam(base, {"global": base_rows}),
                shared_exam(novel, {"global_novel": novel_rows}),
            ),
            client_names=client_names(self.clients),
        )


class Pathological(ByClass):
    """All classes are dealt to clients without overlap: label shift at its extreme."""

    def build(self, data: Data, seed: int) -> Scenario:
        classes = np.arange(len(data.classnames))
        dealt = self.deal(classes, "classes", seed, "pathological")
        every = np.arange(len(data.test.labels))
        return Scenario(
            train_rows=self.train_rows(data, dealt, seed, "pathological"),
            train_classes=classes,
            class_mask=None,
            exams=(class_exam(data.test.labels, every, classes, dealt, "all"),),
            shared_exams=(shared_exam(classes, {"global": every}),),
            client_names=client_names(self.clients),
        )


class Personal(ScenarioSettings):
    """Dirichlet(alpha) over labels; a client's training and test images follow the same shares."""

    clients: int = Field(
        10,
        description="Clients. 10, all of them in every round, so that data of a thousand images "
        "suffice; CIFAR in FedOTP, FedPGP, pFedMoAP (table 2) and FedMGP (table 2) has 100, with "
        "participation 0.1.",
    )
    alpha: float = Field(
        0.5,
        description="Concentration: small means few classes a client; 0.5 in pFedMoAP, table 2, "
        "and FedMGP, table 2 (the scripts of FedOTP and FedPGP set 0.3).",
    )
    shots: int | None = Field(
        None,
        description="Training images of each class on each client; all of them in the sources.",
    )
    min_train: int = Field(
        10,
        description="Fewest training images of a client, before shots; 10 in NIID-Bench "
        "(Li et al., ICDE 2022) and FedOTP.",
    )
    min_test: int = Field(
        1,
        description="Fewest test images of a client; with 0, a client without any has no `local` "
        "number. FedOTP has 10, which small data cannot give.",
    )

    def build(self, data: Data, seed: int) -> Scenario:
        train, test = partition.dirichlet(
            data.train.labels,
            data.test.labels,
            self.clients,
            self.alpha,
            (self.min_train, self.min_test),
            numpy_generator(seed, "split", "personal", "dirichlet"),
        )
        return split_scenario(data, train, test, self.shots, seed, "personal")

    def describe(self) -> str:
        return f"{self.clients} clients, Dirichlet({self.alpha:g}){shots_note(self.shots)}"


class Iid(ScenarioSettings):
    """Shuffled and dealt evenly: every client sees the same distribution."""

    clients: int = Field(10, description="Clients; 10 as in the other scenarios.")
    shots: int | None = Field(
        None, description="Training images of each class on each client; None for all."
    )

    def build(self, data: Data, seed: int) -> Scenario:
        parts = []
        for what, labels in (("training", data.train.labels), ("test", data.test.labels)):
            if self.clients > len(labels):
                raise UserError(
                    f"{self.clients} clients cannot share {len(labels)} {what} images without an "
                    f"empty client: use at most {len(labels)} clients"
                )
            generator = numpy_generator(seed, "split", "iid", what)
            parts.append(partition.deal(np.arange(len(labels)), self.clients, generator))
        return split_scenario(data, parts[0], parts[1], self.shots, seed, "iid")

    def describe(self) -> str:
        return f"{self.clients} clients, evenly dealt{shots_note(self.shots)}"


class Domains(ScenarioSettings):
    """A client a domain, or several that share a domain's training images by Dirichlet(alpha)."""

    clients_per_domain: int = Field(
        1, description="1 in FedPGP's script for Office; 5 in pFedMoAP, tables 3 and 4."
    )
    alpha: float = Field(
        0.3,
        description="Dirichlet over labels inside a domain where clients share one; 0.3 in "
        "pFedMoAP, tables 3 and 4.",
    )
    shots: int | None = Field(
        None,
        description="Training images of each class on each client; all of them in pFedMoAP.",
    )
    min_train: int = Field(
        10, description="Fewest training images of a client, before shots; 10 as in NIID-Bench."
    )
    hold_out: str | None = Field(
        None,
        description="A domain that nobody trains on, reported as `hold_out`; `each` stands for "
        "one cell a domain.",
    )

    def expand(self, domains: Sequence[str]) -> list[ScenarioSettings]:
        if self.hold_out != EACH:
            return [self]
        if not domains:
            raise UserError(NO_DOMAINS)
        return [self.model_copy(update={"hold_out": name}) for name in domains]

    def build(self, data: Data, seed: int) -> Scenario:
        held_out = self.find_held_out(data.domains)
        seen = [index for index in range(len(data.domains)) if index != held_out]
        if not data.domains or data.train.domains is None or data.test.domains is None:
            raise UserError(NO_DOMAINS)
        if not seen:
            raise UserError(
                f"holding out {data.domains[0]} leaves none to train on: it is the only domain"
            )
        train = [rows for index in seen for rows in self.share(data, index, seed)]
        homes = [index for index in seen for _ in range(self.clients_per_domain)]
        classes = np.arange(len(data.classnames))
        tests = {
            index: np.flatnonzero(data.test.domains == index) for index in range(len(data.domains))
        }
        cut = numpy_generator(seed, "split", "domains", "shots")
        return Scenario(
            train_rows=tuple(partition.cut_to_shots(train, data.train.labels, self.shots, cut)),
            train_classes=classes,
            class_mask=None,
            exams=(domain_exam(data.domains, classes, tests, homes, held_out),),
            shared_exams=(shared_exam(classes, shared_domain_rows(data.domains, tests, held_out)),),
            client_names=self.names(data.domains, seen),
        )

    def find_held_out(self, domains: Sequence[str]) -> int | None:
        """The index of the domain kept from training."""
        if self.hold_out is None or not domains:
            return None
        if self.hold_out == EACH:
            raise ValueError("hold_out='each' stands for several scenarios: expand it first")
        if self.hold_out not in domains:
            near = difflib.get_close_matches(self.hold_out, domains, n=1, cutoff=0.0)[0]
            raise UserError(
                f"there is no domain {self.hold_out!r} to hold out, did you mean {near!r}? "
                f"The domains are {', '.join(domains)}"
            )
        return list(domains).index(self.hold_out)

    def share(self, data: Data, domain: int, seed: int) -> list[IntArray]:
        """The training rows of each client of a domain."""
        name = data.domains[domain]
        rows = np.flatnonzero(data.train.domains == domain)
        if len(rows) == 0:
            raise UserError(f"the client of domain {name} would be empty: no training images")
        if self.clients_per_domain == 1:
            return [rows]
        try:
            parts, _ = partition.dirichlet(
                data.train.labels[rows],
                np.empty(0, dtype=np.int64),
                self.clients_per_domain,
                self.alpha,
                (self.min_train, 0),
                numpy_generator(seed, "split", "domains", "dirichlet", name),
            )
        except UserError as error:
            raise UserError(f"domain {name}: {error}") from None
        return [rows[part] for part in parts]

    def names(self, domains: Sequence[str], seen: Sequence[int]) -> tuple[str, ...]:
        """A client is called after its domain, numbered where it shares one."""
        if self.clients_per_domain == 1:
            return tuple(domains[index] for index in seen)
        return tuple(
            f"{domains[index]} {number}"
            for index in seen
            for number in range(self.clients_per_domain)
        )

    def describe(self) -> str:
        clients = (
            "a client a domain"
            if self.clients_per_domain == 1
            else f"{self.clients_per_domain} clients a domain, Dirichlet({self.alpha:g})"
        )
        held = "" if self.hold_out is None else f", {self.hold_out} held out"
        return clients + shots_note(self.shots) + held


NO_DOMAINS = "the data set has no domains, which the scenario `domains` needs: choose another one"

# Federations of some ten clients that all take part: 25 rounds of 2 local epochs (FedPGP's
# scripts) or 10 of 5 (FedOTP's few-shot script and yaml), 50 local epochs either way. Federations
# of 100 clients with participation 0.1 train 150 rounds: of 1 on CIFAR-100 (both repositories'
# scripts), of 10 on CIFAR-10 (FedPGP's history, ba16025).
FEDPGP = {"rounds": 25, "local_epochs": 2, "participation": 1.0}
FEDOTP = {"rounds": 10, "local_epochs": 5, "participation": 1.0}

SCENARIOS: dict[str, ScenarioKind] = {
    kind.name: kind
    for kind in (
        ScenarioKind(
            "base2novel",
            "base classes dealt without overlap, few shots; tested on own, base and novel classes",
            Base2Novel,
            FEDPGP,
        ),
        ScenarioKind(
            "pathological",
            "all classes dealt without overlap, few shots; tested on own and neighbours' classes",
            Pathological,
            FEDOTP,
        ),
        ScenarioKind(
            "personal",
            "Dirichlet over labels; each client tested on images distributed like its own",
            Personal,
            FEDPGP,
        ),
        ScenarioKind(
            "domains",
            "a client a domain, or several; tested by domain, also on one held out of training",
            Domains,
            FEDPGP,
        ),
        ScenarioKind("iid", "all images shuffled and dealt evenly", Iid, FEDPGP),
    )
}


def rows_of(labels: IntArray, classes: IntArray) -> IntArray:
    """The rows whose label is one of the classes."""
    return np.flatnonzero(np.isin(labels, classes))


def client_names(count: int) -> tuple[str, ...]:
    """Clients without a name of their own are numbered as in every log."""
    return tuple(f"client {index}" for index in range(count))


def shots_note(shots: int | None) -> str:
    """The end of a caption."""
    return "" if shots is None else f", {shots} shots"


def split_scenario(
    data: Data,
    train: Sequence[IntArray],
    test: Sequence[IntArray],
    shots: int | None,
    seed: int,
    name: str,
) -> Scenario:
    """Both splits dealt to the clients; everybody chooses among all classes."""
    classes = np.arange(len(data.classnames))
    cut = numpy_generator(seed, "split", name, "shots")
    return Scenario(
        train_rows=tuple(partition.cut_to_shots(train, data.train.labels, shots, cut)),
        train_classes=classes,
        class_mask=None,
        exams=(own_exam("local", classes, test),),
        shared_exams=(shared_exam(classes, {"global": np.arange(len(data.test.labels))}),),
        client_names=client_names(len(train)),
    )
