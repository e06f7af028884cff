"""Every way from contexts to text features gives what the published code's full pass gives."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from golden_backbone import golden_backbone
from hypothesis import given, settings
from hypothesis import strategies as st
from open_clip.hf_model import HFTextEncoder
from open_clip.model import CLIP, CustomTextCLIP
from safetensors import safe_open
from safetensors.torch import load_file
from small_clip import LetterTokenizer, far, small_clip
from torch import Tensor, nn

from fplbench.clip.prompts import Position
from fplbench.clip.text import TextTower
from fplbench.errors import UserError

GOLDEN = Path(__file__).parents[1] / "golden"
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}
NAMES = ("cat", "a_dog", "ox", "long tailed tit", "boeing 747")


class Given(nn.Module):
    """Stands in for the token embedding, to let open_clip encode vectors of ours."""

    def __init__(self, x: Tensor) -> None:
        super().__init__()
        self.x = x

    def forward(self, ids: Tensor) -> Tensor:
        return self.x


def plain(
    model: CLIP | CustomTextCLIP, ctx: Tensor, names: tuple[str, ...], position: Position
) -> Tensor:
    """The published way: all 77 positions of every prompt through open_clip's own encode_text.

    ctx: [C, N, K, n, d]. Cut and joined as in CoOp's PromptLearner.forward.
    """
    n, tokenizer = ctx.shape[-2], LetterTokenizer()
    holder = model if isinstance(model, CLIP) else model.text
    words = [name.replace("_", " ") for name in names]
    ids = tokenizer([" ".join(["X"] * n) + " " + name + "." for name in words])
    embedded = holder.token_embedding(ids).to(ctx.dtype)
    lengths = [len(name.replace(" ", "")) for name in words]
    rows = []
    for c in range(ctx.shape[0]):
        for i in range(ctx.shape[1]):
            for k, length in enumerate(lengths):
                before = {"end": n, "middle": n // 2, "front": 0}[position]
                own, rest, context = embedded[k], embedded[k, 1 + n :], ctx[c, i, k]
                parts = [own[:1], context[:before], rest[:length], context[before:], rest[length:]]
                rows.append(torch.cat(parts))
    real = holder.token_embedding
    try:
        holder.token_embedding = Given(torch.stack(rows))
        features = model.encode_text(ids.repeat(ctx.shape[0] * ctx.shape[1], 1))
    finally:
        holder.token_embedding = real
    return features.reshape(*ctx.shape[:3], -1)


def values_and_gradient(features: Tensor, ctx: Tensor) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    weights = torch.randn(features.shape, generator=generator, dtype=features.dtype)
    (gradient,) = torch.autograd.grad((features * weights).sum(), ctx)
    return features, gradient


def assert_all_ways_agree(
    model: CLIP | CustomTextCLIP,
    names: tuple[str, ...],
    ctx: Tensor,
    position: Position = "end",
) -> None:
    tower = TextTower(model, LetterTokenizer())
    tokens = tower.tokenize(names)
    ctx.requires_grad_()
    for_each = ctx
    if ctx.dim() == 4:
        for_each = ctx[:, :, None].expand(-1, -1, len(names), -1, -1)
    wanted = values_and_gradient(plain(model, for_each, names, position), ctx)
    for general in (False, True):
        features = tower.encode_prompts(ctx, tokens, position, general=general)
        for ours, theirs in zip(values_and_gradient(features, ctx), wanted, strict=True):
            assert far(ours, theirs) <= TOLERANCE[ctx.dtype], f"general={general}"


WORDS = st.text("abcxyz_ ", min_size=1, max_size=14)


# Layer norms over 4 or 8 numbers amplify float32's rounding past 1e-5 in any order of summation;
# a real tower's width does not. The strategies draw numbers only: models drawn on a busy machine
# would fail a health check.
@settings(max_examples=60, deadline=None)
@given(
    heads=st.sampled_from([1, 2, 4]),
    head_width=st.sampled_from([16, 32]),
    layers=st.integers(1, 3),
    scale=st.sampled_from([None, 0.5]),
    flags=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    seed=st.integers(0, 9),
    names=st.lists(WORDS, min_size=1, max_size=5).map(tuple),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 2), st.integers(1, 6)),
    dtype=st.sampled_from([torch.float64, torch.float32]),
)
def test_a_shared_prefix_gives_the_full_computation(
    heads: int,
    head_width: int,
    layers: int,
    scale: float | None,
    flags: tuple[bool, bool, bool],
    seed: int,
    names: tuple[str, ...],
    shape: tuple[int, int, int],
    dtype: torch.dtype,
) -> None:
    quick_gelu, custom, bias = flags
    width = heads * head_width
    text = {"ls_init_value": scale, "proj_bias": bias}
    model = small_clip(
        width=width,
        heads=heads,
        layers=layers,
        quick_gelu=quick_gelu,
        custom=custom,
        text=text,
        seed=seed,
    ).to(dtype)
    generator = torch.Generator().manual_seed(seed)
    ctx = 0.1 * torch.randn(*shape, width, generator=generator, dtype=dtype)
    assert_all_ways_agree(model, names, ctx)


@pytest.mark.parametrize("position", ["end", "middle", "front"])
@pytest.mark.parametrize("n", [1, 4, 5])
def test_every_position_is_where_the_published_code_puts_it(position: Position, n: int) -> None:
    model = small_clip(quick_gelu=True).double()
    ctx = torch.randn(2, 2, n, 16, dtype=torch.float64)
    assert_all_ways_agree(model, NAMES, ctx, position)


@pytest.mark.parametrize("position", ["end", "middle", "front"])
def test_each_class_may_have_its_own_context(position: Position) -> None:
    model = small_clip().double()
    ctx = torch.randn(2, 1, len(NAMES), 4, 16, dtype=torch.float64)
    assert_all_ways_agree(model, NAMES, ctx, position)


@pytest.mark.parametrize(
    "text",
    [
        {"pool_type": "eos", "eos_id": 299},
        {"no_causal_mask": True},
        {"no_causal_mask": True, "pool_type": "last"},
        {"no_causal_mask": True, "pool_type": "first"},
        {"proj_type": "none"},
        {"qk_norm": True},
        {"scale_attn": True, "scale_fc": True},
    ],
    ids=str,
)
def test_other_text_towers_agree_too(text: dict[str, Any]) -> None:
    model = small_clip(custom=True, text=text).double()
    assert_all_ways_agree(model, NAMES, torch.randn(2, 1, 3, 16, dtype=torch.float64))


@pytest.mark.parametrize("position", ["end", "middle", "front"])
@pytest.mark.parametrize("causal", [True, False])
def test_contexts_of_different_lengths_are_each_as_if_alone(
    position: Position, causal: bool
) -> None:
    model = small_clip(custom=True, text={"no_causal_mask": not causal}).double()
    tower, names = TextTower(model, LetterTokenizer()), tuple(NAMES)
    tokens = tower.tokenize(names)
    ctx = torch.randn(3, 2, 5, tower.width, dtype=torch.float64).requires_grad_()
    lengths = torch.tensor([[5, 2], [3, 3], [1, 5]])
    found = values_and_gradient(tower.encode_unequal(ctx, lengths, tokens, position), ctx)
    rows = [
        tower.encode_prompts(ctx[c : c + 1, i : i + 1, : lengths[c, i]], tokens, position)
        for c in range(3)
        for i in range(2)
    ]
    alone = torch.cat(rows).unflatten(0, (3, 2)).squeeze(2)
    for ours, wanted in zip(found, values_and_gradient(alone, ctx), strict=True):
        assert far(ours, wanted) <= TOLERANCE[torch.float64]


def test_a_shorter_context_may_be_read_where_the_longest_ends() -> None:
    """Which is a place of the padding behind its own end."""
    model = small_clip().double()
    tower, names = TextTower(model, LetterTokenizer()), ("ox", "cat")
    ctx = torch.randn(1, 1, 4, tower.width, dtype=torch.float64)
    found = tower.encode_unequal(ctx, torch.tensor([[1]]), tower.tokenize(names), read="longest")
    for k, name in enumerate(names):
        ids = LetterTokenizer()([f"X{name}."])
        embedded = model.token_embedding(ids).to(ctx.dtype)
        embedded[0, 1] = ctx[0, 0, 0]
        x = embedded + model.positional_embedding
        x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask))
        wanted = x[0, 1 + 4 + len(name) + 1] @ model.text_projection
        assert far(found[0, 0, k], wanted) <= TOLERANCE[torch.float64]
    both = torch.tensor([[4]])
    assert torch.equal(
        tower.encode_unequal(ctx, both, tower.tokenize(names), read="longest"),
        tower.encode_unequal(ctx, both, tower.tokenize(names)),
    )


def test_only_what_is_read_is_computed() -> None:
    model = small_clip(layers=3)
    tower = TextTower(model, LetterTokenizer())
    tokens = tower.tokenize(["cat", "horse"])
    positions: list[int] = []
    for block in model.transformer.resblocks:
        block.mlp.register_forward_hook(lambda _, x, y: positions.append(y.shape[:-1].numel()))
    tower.encode_prompts(torch.randn(2, 1, 4, 16), tokens)
    positions.clear()  # what [SOS] is has been found on the way
    tower.encode_prompts(torch.randn(2, 1, 4, 16), tokens)
    shared = 2 * (4 + 5 + 7)  # 4 vectors; "cat.[EOT]"; "horse.[EOT]"
    assert positions == [shared, shared, 2 * 2]
    positions.clear()
    tower.encode_prompts(torch.randn(2, 1, 2, 4, 16), tokens)
    apart = 2 * 2 * (4 + 7)
    assert positions == [apart, apart, 2 * 2]
    positions.clear()
    tower.encode_prompts(torch.randn(2, 1, 4, 16), tokens, general=True)
    assert positions == 3 * [2 * 2 * 12]


def test_names_that_begin_alike_share_their_beginning() -> None:
    tower = TextTower(small_clip(), LetterTokenizer())
    packed = tower.tokenize(["catbird", "cat", "catfish", "dog", "cat"]).packed(4)
    assert packed.tokens == len("cat") + len("bird..") + len("fish..") + len("..") + len("dog..")


def test_the_prefix_is_shared_only_where_no_class_can_change_it() -> None:
    causal = TextTower(small_clip(), LetterTokenizer())
    shared, own = torch.zeros(1, 1, 4, 16), torch.zeros(1, 1, 3, 4, 16)
    assert causal.shares_prefix(shared, "end")
    assert not causal.shares_prefix(shared, "middle")
    assert not causal.shares_prefix(own, "end")
    seeing = TextTower(small_clip(custom=True, text={"no_causal_mask": True}), LetterTokenizer())
    assert not seeing.shares_prefix(shared, "end")


@pytest.mark.parametrize("position", ["end", "front"])
def test_a_prompt_too_long_names_its_class(position: Position) -> None:
    tower = TextTower(small_clip(), LetterTokenizer())
    longest = "x" * 58  # with [SOS], 16 vectors, "." and [EOT]: 77
    tower.encode_prompts(torch.zeros(1, 1, 16, 16), tower.tokenize(["cat", longest]), position)
    tokens = tower.tokenize(["cat", longest + "y", "dog"])
    with pytest.raises(UserError, match=r"x{58}y.*16 context vectors take 78 tokens.*reads 77"):
        tower.encode_prompts(torch.zeros(1, 1, 16, 16), tokens, position)


def test_a_context_of_the_wrong_width_is_refused() -> None:
    tower = TextTower(small_clip(), LetterTokenizer())
    with pytest.raises(ValueError, match=r"\[C, N, n, 16\]"):
        tower.encode_prompts(torch.zeros(1, 1, 4, 8), tower.tokenize(["cat"]))


@pytest.mark.parametrize("custom", [False, True])
def test_texts_are_encoded_as_open_clip_does(custom: bool) -> None:
    model = small_clip(custom=custom)
    tower = TextTower(model, LetterTokenizer())
    texts = [f"a photo of a {name}." for name in NAMES] * 60  # more than one batch
    assert far(tower.encode_texts(texts), model.encode_text(LetterTokenizer()(texts))) < 1e-5
    assert tower.encode_texts([]).shape == (0, tower.embed_dim)
    with pytest.raises(UserError, match="has 78 tokens"):
        tower.encode_texts(["x" * 76])


def test_words_are_embedded_without_start_and_end() -> None:
    model = small_clip()
    words = TextTower(model, LetterTokenizer()).embed_words("ab c")
    assert torch.equal(words, model.token_embedding.weight[list(b"abc")])


@pytest.mark.parametrize("name", ["fedpgp_a", "fedpgp_b"])
def test_golden_prompts_have_golden_tokens_and_features(name: str) -> None:
    golden = load_file(GOLDEN / f"{name}.safetensors")
    with safe_open(GOLDEN / f"{name}.safetensors", "pt") as file:
        about = file.metadata()
    classnames, n = json.loads(about["classnames"]), int(about["n_ctx"])
    backbone = golden_backbone(GOLDEN)
    tokens = backbone.text.tokenize(classnames)
    placeholder = [343] * n  # "x</w>" in CLIP's vocabulary
    for row, whole in zip(tokens.rows, golden["input.tokenized_prompts"].tolist(), strict=True):
        ours = [row[0], *placeholder, *row[1:]]
        assert ours == whole[: len(ours)]
        assert not any(whole[len(ours) :])
    for general in (False, True):
        features = backbone.text.encode_prompts(
            golden["init.sigma"][None], tokens, general=general
        )[0, 0]
        unit = nn.functional.normalize(features, dim=-1)
        assert far(unit, golden["expected.text_features_global"]) < 1e-5
    prompts = [f"{' '.join(['X'] * n)} {name.replace('_', ' ')}." for name in classnames]
    unit = nn.functional.normalize(backbone.text.encode_texts(prompts), dim=-1)
    assert far(unit, golden["expected.text_features_clip"]) < 1e-5


def test_a_hugging_face_text_tower_is_refused_by_name() -> None:
    model = SimpleNamespace(text=HFTextEncoder.__new__(HFTextEncoder))
    with pytest.raises(UserError, match="Hugging Face model"):
        TextTower(model, LetterTokenizer())  # type: ignore[arg-type]


def test_a_text_tower_with_a_class_token_is_refused() -> None:
    model = small_clip(custom=True, text={"embed_cls": True})
    with pytest.raises(UserError, match="class token"):
        TextTower(model, LetterTokenizer())


@pytest.mark.parametrize("shape", [(2, 1, 4, 16), (2, 1, 5, 4, 16)], ids=["shared", "own"])
def test_prompts_in_bfloat16_differ_by_its_rounding_alone(shape: tuple[int, ...]) -> None:
    tower = TextTower(small_clip(layers=3), LetterTokenizer())
    low = tower.in_precision(torch.bfloat16)
    noise = torch.Generator().manual_seed(0)
    ctx = torch.randn(shape, generator=noise).requires_grad_()
    tokens = tower.tokenize(NAMES)
    exact = values_and_gradient(tower.encode_prompts(ctx, tokens), ctx)
    for general in (False, True):
        features = low.encode_prompts(ctx, tokens, general=general)
        assert features.dtype == torch.float32
        for ours, theirs in zip(values_and_gradient(features, ctx), exact, strict=True):
            assert 0 < far(ours, theirs) < 0.1  # of sixty draws the worst is 0.094
    assert torch.equal(low.encode_texts(["a cat."]), tower.encode_texts(["a cat."]))
    assert low.transformer is tower.transformer  # the weights' own stay as they are
