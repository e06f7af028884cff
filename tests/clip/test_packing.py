"""Packing loses no token of any class name, and a token sees its own name's beginning alone."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_clip import LetterTokenizer, far, small_clip

from fplbench.clip.packing import Packed, pack
from fplbench.clip.text import TextTower

END = 9
# Few letters, so that many names begin alike; as a tower's rows, they end with an [EOT].
NAMES = st.lists(
    st.lists(st.integers(1, 3), max_size=6).map(lambda name: (*name, END)), min_size=1, max_size=12
)


def tokens_seen(packed: Packed, k: int) -> list[int]:
    """What class k's [EOT] sees, in the order of its positions."""
    most = packed.ends.shape[1]
    r, e = divmod(int(packed.where[k]), most)
    column = int(packed.ends[r, e])
    seen = packed.sees[r, column].nonzero()[:, 0]
    seen = seen[packed.depth[r, seen].argsort()]
    assert packed.depth[r, seen].tolist() == list(range(len(seen)))
    for token in seen.tolist():  # and each of them sees what stands before it
        before = seen[: int(packed.depth[r, token]) + 1]
        assert sorted(packed.sees[r, token].nonzero()[:, 0].tolist()) == sorted(before.tolist())
    return packed.ids[r, seen].tolist()


@given(NAMES, st.integers(1, 30))
def test_every_name_is_there_whole(names: list[tuple[int, ...]], limit: int) -> None:
    packed = pack(names, pad=0, bin_tokens=limit)
    for k, name in enumerate(names):
        assert tokens_seen(packed, k) == list(name)
    assert packed.ids.shape[1] <= max(limit, *map(len, names))


@given(NAMES)
def test_one_bin_holds_every_beginning_once(names: list[tuple[int, ...]]) -> None:
    packed = pack(names, pad=0, bin_tokens=1000)
    beginnings = {name[: i + 1] for name in names for i in range(len(name))}
    assert packed.tokens == len(beginnings)
    assert len(packed.ids) == 1


@pytest.mark.parametrize("limit", [1, 7, 16, 40])
def test_many_bins_give_the_features_of_one(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["cat", "catfish", "catbird", "ox", "oxlip", "a dog", "dodo", "x" * 14, "cat"]
    tower = TextTower(small_clip(layers=3).double(), LetterTokenizer())
    ctx = torch.randn(2, 2, 3, 16, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(2, 2, len(names), 12, dtype=torch.float64)
    found = []
    for bin_tokens in (1000, limit):
        monkeypatch.setattr("fplbench.clip.prompts.pack", partial(pack, bin_tokens=bin_tokens))
        tokens = tower.tokenize(names)
        features = tower.encode_prompts(ctx, tokens)
        found.append((features, *torch.autograd.grad((features * weights).sum(), ctx)))
    assert len(tokens.packed(3).ids) > 1
    for ours, one in zip(*found, strict=True):
        assert far(ours, one) < 1e-12
