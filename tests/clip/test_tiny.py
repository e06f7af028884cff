"""The embedded backbone: its tokenizer takes any text, its weights are small and exact."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

from fplbench.embedded import tiny
from fplbench.embedded.render import COLOURS, PATTERNS, SHAPES, circumstances
from fplbench.embedded.tiny import smooth
from fplbench.embedded.tiny.captions import MAX_FILLERS, PARTS, CaptionWriter, parts_table
from fplbench.embedded.tiny.pretrain import (
    Settings,
    contrastive_loss,
    encode_text,
    normalise,
    pretrain,
    random_labels,
    save,
    zero_shot,
)
from fplbench.embedded.tiny.tokenizer import DIGITS, WORDS, TinyTokenizer

TOKENIZER = TinyTokenizer()


@settings(deadline=None)
@given(st.text())
def test_any_text_comes_back_normalised(text: str) -> None:
    assert TOKENIZER.decode(TOKENIZER.encode(text)) == TOKENIZER.normalise(text)


@settings(deadline=None)
@given(st.text(max_size=300), st.integers(2, 77))
def test_the_end_is_kept_and_its_id_is_the_largest(text: str, length: int) -> None:
    tokens = TOKENIZER(text, length)
    assert tokens.shape == (1, length)
    assert tokens.dtype == torch.int64
    assert tokens[0, 0] == TOKENIZER.sot
    end = int(tokens[0].argmax())
    assert tokens[0, end] == TOKENIZER.eot == TOKENIZER.vocab_size - 1
    assert (tokens[0] == TOKENIZER.eot).sum() == 1
    assert (tokens[0, end + 1 :] == TOKENIZER.pad).all()


def test_known_words_are_one_token_each_and_unknown_ones_are_spelled() -> None:
    for word in (*COLOURS, *PATTERNS, *SHAPES, *DIGITS, "X", ".", "photo"):
        assert len(TOKENIZER.encode(word)) == 1, word
    assert len(TOKENIZER.encode("X X X red striped star.")) == 7
    assert len(TOKENIZER.encode("zebra")) == len("zebra") + 1


def test_texts_are_told_apart_by_case_neither_but_by_every_letter() -> None:
    assert TOKENIZER.encode("Red STAR") == TOKENIZER.encode("red star")
    assert TOKENIZER.encode("zebra") != TOKENIZER.encode("zebre")


def test_a_length_without_room_for_start_and_end_is_refused() -> None:
    with pytest.raises(ValueError, match="context_length is 1"):
        TOKENIZER("star", 1)


def test_the_vocabulary_fits_the_model() -> None:
    config = json.loads(tiny.CONFIG.read_text())
    assert config["text_cfg"]["vocab_size"] == TOKENIZER.vocab_size
    assert TOKENIZER.first_word + len(WORDS) <= TOKENIZER.sot


def test_the_weights_are_small_half_precision_and_load_exactly() -> None:
    assert tiny.WEIGHTS.stat().st_size < 8e6
    model, _, _ = tiny.load()
    state = model.state_dict()
    with safe_open(tiny.WEIGHTS, "pt") as file:
        assert set(file.keys()) == set(state)
        for name in file.keys():
            stored = file.get_tensor(name)
            assert stored.dtype == torch.float16
            assert torch.equal(stored.float(), state[name]), name
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())
    assert 1e6 < sum(p.numel() for p in model.parameters()) < 3e6


def test_images_of_any_size_and_mode_become_the_models_input() -> None:
    _, _, preprocess = tiny.load()
    for mode, size in (("RGB", (48, 48)), ("L", (8, 8)), ("RGBA", (100, 37))):
        assert preprocess(Image.new(mode, size)).shape == (3, 48, 48)


def test_preprocessing_agrees_with_pretrainings_normalisation() -> None:
    _, _, preprocess = tiny.load()
    pixels = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    expected = normalise(torch.from_numpy(pixels)[None])[0]
    torch.testing.assert_close(preprocess(Image.fromarray(pixels)), expected)


def test_short_text_encoding_equals_open_clips() -> None:
    model, tokenizer, _ = tiny.load()
    texts = ["a photo of a red striped star.", "X X X X blue plain moon."]
    short = encode_text(model, tokenizer(texts, 20))
    torch.testing.assert_close(short, model.encode_text(tokenizer(texts), normalize=True))


def test_the_backbone_knows_what_it_was_taught() -> None:
    model, _, _ = tiny.load()
    assert zero_shot(model, seed=1, count=500) > 80


def test_other_words_before_the_name_leave_the_accuracy_standing() -> None:
    model, _, _ = tiny.load()
    plain = zero_shot(model, seed=1, count=500)
    for count in (4, 16):
        filled = zero_shot(model, seed=1, count=500, template=" ".join(["X"] * count) + " {}.")
        assert filled > plain - 10


def captions_of(count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    labels = random_labels(rng, count)
    table = parts_table(labels, circumstances(0, np.arange(count), labels))
    captions = CaptionWriter(rng).write(table)
    return table, captions.tokens, captions.mentioned


def test_captions_say_what_is_true_and_mark_what_they_say() -> None:
    table, tokens, mentioned = captions_of(200)
    words = {"shape": SHAPES, "colour": tuple(COLOURS), "pattern": PATTERNS}
    for part, names in words.items():
        column = PARTS.index(part)
        for row in range(200):
            said = set(TOKENIZER.decode(tokens[row].tolist()).split()) & set(names)
            expected = {names[table[row, column]]} if mentioned[row, column] else set()
            assert said == expected


def test_single_word_captions_name_every_word_once_and_in_order() -> None:
    tokens = CaptionWriter(np.random.default_rng(0)).write_words()
    words = [*SHAPES, *COLOURS, *PATTERNS]
    for row, word in zip(tokens.tolist(), words, strict=True):
        assert [w for w in TOKENIZER.decode(row).split() if w in words] == [word]


def test_captions_put_the_name_at_every_position() -> None:
    ids = [TOKENIZER.encode(shape)[0] for shape in SHAPES]
    seen: set[int] = set()
    for seed in range(40):
        _, tokens, _ = captions_of(64, seed)
        seen.update(torch.isin(tokens, torch.tensor(ids)).nonzero()[:, 1].tolist())
    assert set(range(2, MAX_FILLERS + 5)) <= seen


def test_a_true_caption_of_another_picture_is_no_negative() -> None:
    table = torch.zeros(3, len(PARTS), dtype=torch.int64)
    table[2, 0] = 1
    mentioned = torch.zeros(3, len(PARTS), dtype=torch.bool)
    mentioned[:, 0] = True
    logits = torch.tensor([[1.0, 50.0, 0.0], [50.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    low = contrastive_loss(logits, table, mentioned)
    table[1, 0] = 2
    assert contrastive_loss(logits, table, mentioned) > low + 10


def test_pretraining_is_seeded_and_writes_weights_that_load(tmp_path: Path) -> None:
    brief = Settings(steps=2, batch=8, warmup=1, probe=10)
    files = [tmp_path / name for name in ("a.safetensors", "b.safetensors")]
    for file in files:
        save(pretrain(brief), file)
    assert files[0].read_bytes() == files[1].read_bytes()
    tiny.load(files[0])


def test_vectors_that_are_words_embeddings_give_the_features_of_the_words() -> None:
    model, _, _ = tiny.load()
    tokens = TOKENIZER(["a photo of a red striped star.", "the blue ring."], 14)
    words = TOKENIZER(["X photo a photo of a red striped star.", "X photo the blue ring."], 16)
    front = model.token_embedding(words[:, 1:3])
    torch.testing.assert_close(
        smooth.encode_behind(model, tokens, front), encode_text(model, words)
    )


def test_the_second_stage_is_seeded_and_leaves_pictures_where_they_are(tmp_path: Path) -> None:
    brief = smooth.Settings(steps=3, batch=8, pictures=2, warmup=1)
    files = [tmp_path / name for name in ("a.safetensors", "b.safetensors")]
    for file in files:
        save(smooth.smooth(tiny.load()[0], brief), file)
    assert files[0].read_bytes() == files[1].read_bytes()
    before, after = load_file(tiny.WEIGHTS), load_file(files[0])
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert not any(name.startswith("visual.") or name == "logit_scale" for name in moved)
