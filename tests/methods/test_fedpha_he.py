"""FedPHA's clients with prompts of different length: lengths, terms, refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import random_clients as some
import torch
from command_line import call
from small_federation import Make, federation, task
from torch import Tensor
from torch.testing import assert_close

from fplbench.engine.chunks import Chunk
from fplbench.engine.fit import run_round
from fplbench.method import cross_entropy
from fplbench.prompts import cosine_logits, text_features
from fplbench.spec import Training

__all__ = ["federation", "task"]  # fixtures


def test_each_client_draws_its_length_once(federation: Make) -> None:
    fed = federation(some.method("fedpha_he", shortest=1, longest=5), sizes=(2,) * 12)
    lengths = fed.private["length"].clone()
    assert set(lengths.tolist()) <= {1, 2, 3, 4, 5}
    assert len(lengths.unique()) > 2
    before = fed.private["ctx_local"].clone()
    run_round(fed, Training(lr=0.1, weight_decay=0.0), 1, Chunk(12))
    assert torch.equal(fed.private["length"], lengths)
    moved = (fed.private["ctx_local"] != before).any(-1)
    assert torch.equal(moved, torch.arange(5) < lengths[:, None])


def test_a_client_with_a_length_of_its_own_is_as_if_all_had_it() -> None:
    """Each term, and what is tested, from prompts that are encoded one by one."""
    method, chosen = some.method("fedpha_he", shortest=2, longest=5), some.task()
    noise, given = torch.Generator().manual_seed(0), some.batch(3)
    params = {
        "ctx_global": 0.2 * torch.randn(3, 3, chosen.width, generator=noise),
        "ctx_local": 0.2 * torch.randn(3, 5, chosen.width, generator=noise),
        "length": torch.tensor([5, 2, 3]),
    }
    terms = method.losses(params, given, chosen)
    text = method.encode(params, chosen)["t"]
    alone = method.shared_only(params)
    assert alone is not None
    shared = method.encode(alone, chosen)["t"]
    for c, n in enumerate(params["length"].tolist()):
        whole, own = params["ctx_global"][c : c + 1], params["ctx_local"][c : c + 1, :n]
        projected = method.projected(own, whole)  # type: ignore[attr-defined]
        t_own, t_whole, t_projected = (text_features(p, chosen) for p in (own, whole, projected))
        near(text[c], t_own[0])
        near(shared[c], t_whole[0])
        of_client = replace(
            given,
            mask=given.mask[c : c + 1],
            pooled=given.pooled[c : c + 1],
            labels=given.labels[c : c + 1],  # type: ignore[index]
        )
        for name, t in (("ce", t_own), ("ce_global", t_whole)):
            logits = cosine_logits(of_client.pooled, t, chosen)
            near(terms[name][c], cross_entropy(logits, of_client)[0])
        near(terms["pull"][c], (t_own - t_projected).square().mean())
        near(terms["push"][c], (1 - (t_own - t_whole)[0].norm(dim=-1)).relu().mean())


def near(ours: Tensor, wanted: Tensor) -> None:
    assert_close(ours, wanted, rtol=1e-4, atol=1e-5)


def test_lengths_that_make_no_range_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FPLBENCH_CACHE", str(tmp_path / "cache"))
    command = ["run", "--methods", "fedpha_he", "--datasets", "digits", "--out", str(tmp_path)]
    code, _, err = call([*command, "--set", "fedpha_he.shortest=40"], monkeypatch, capsys)
    assert code == 2
    sentence = "shortest is 40 and longest 32: give the shorter first (method fedpha_he)."
    assert sentence in " ".join(err.split())
