"""FedAPT's domains: one a client, or several clients of each."""

from __future__ import annotations

from pathlib import Path

import pytest
import random_clients as some
import torch
from command_line import call

from fplbench.engine.fit import setup_of
from fplbench.method import Method, Round
from fplbench.spec import Training


def of_domains(clients: int, **settings: object) -> Method:
    made = some.method("fedapt", **settings)
    return made.set_up(setup_of(0, [3] * clients, Training(rounds=1)))


def domains(method: Method, clients: int) -> list[int]:
    specs = method.init(some.task(), torch.Generator().manual_seed(0))
    everyone = torch.arange(clients)
    r = Round(
        index=1,
        clients=everyone,
        sizes=torch.full([clients], 3),
        times=torch.zeros(clients, dtype=torch.long),
        shared=("ctx", "query"),
        generator=lambda purpose, client: torch.Generator(),
        total=clients,
    )
    sent: list[int] = method.download(method.begin(specs, clients), r)["domain"].tolist()
    assert len(specs["query"].value) == len(specs["keys"].value) > max(sent)
    return sent


def test_each_client_is_a_domain_unless_settings_say_how_many_there_are() -> None:
    assert domains(of_domains(5), 5) == [0, 1, 2, 3, 4]
    assert domains(of_domains(6, domains=3), 6) == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("count", [1, 3, 20])
def test_domains_that_clients_cannot_be_dealt_to_are_refused_before_the_run(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ["run", "--methods", "fedapt", "--datasets", "shapes_domains", "--rounds", "1"]
    where = ["--set", f"fedapt.domains={count}", "--out", str(tmp_path / "r"), "--dry-run"]
    code, _, said = call([*run, *where], monkeypatch, capsys)
    assert code == 2
    assert f"are not as many of each of {count} domains (fedapt.domains)" in said


def test_new_clients_whose_domain_nobody_trained_are_refused() -> None:
    training = Training(rounds=1, new_clients=0.5)
    made = some.method("fedapt").set_up(setup_of(0, [3] * 4, training))
    assert made.unfit() == "a new client is of a domain whose key and query nobody has trained"
    assert of_domains(4).unfit() is None
