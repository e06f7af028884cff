"""Captions for pretraining: what each says of its picture, in many templates, at any position."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fplbench.embedded.render import COLOURS, PATTERNS, SHAPES, STYLES, Labels
from fplbench.embedded.tiny.tokenizer import (
    CIRCUMSTANCE_WORDS,
    OTHER_WORDS,
    STYLE_WORDS,
    TEMPLATE_WORDS,
    TinyTokenizer,
)

# {} stands for the object's name, [] for a word of the picture's style or circumstances.
PLAIN_TEMPLATES = (
    "{}.", "a {}.", "the {}.", "a photo of a {}.", "a picture of a {}.", "an image of a {}.",
    "a photo of the {}.", "this is a {}.", "there is a {} here.", "a good photo of a {}.",
    "a close up photo of a {}.", "a rendering of a {}.", "a drawing of a {}.", "itap of a {}.",
    "one {} in the picture.", "a photo of a {}, a type of shape.", "art of the {}.",
    "a photo of my {}.", "some {}.", "this sign shows a {}.",
)  # fmt: skip
TOLD_TEMPLATES = (
    "a [] {}.", "[] {}.", "a [] photo of a {}.", "a [] drawing of a {}.", "a [] picture of a {}.",
    "the [] image of the {}.", "a {} in [] style.", "[] style, {}.", "a [] rendering of a {}.",
    "this is a [] {}.", "[] [] {}.", "a [] [] picture of a {}.",
)  # fmt: skip
# Share of captions by the parts of the name they give, in the order of speaking.
NAME_FORMS: tuple[tuple[float, tuple[str, ...]], ...] = (
    (0.66, ("colour", "pattern", "shape")),
    (0.10, ("pattern", "colour", "shape")),
    (0.07, ("colour", "shape")),
    (0.07, ("pattern", "shape")),
    (0.05, ("shape",)),
    (0.02, ("colour",)),
    (0.03, ("colour", "pattern")),
)
MAX_FILLERS = 16
TOLD_SHARE = 0.4
NAME_PARTS = ("shape", "colour", "pattern")
TOLD_PARTS = ("style", *CIRCUMSTANCE_WORDS)
PARTS = (*NAME_PARTS, *TOLD_PARTS)


@dataclass(frozen=True)
class Captions:
    """tokens: [B, L], L the longest; mentioned: [B, len(PARTS)], which parts each caption gives."""

    tokens: Tensor
    mentioned: Tensor


def parts_table(labels: Labels, circumstances: Mapping[str, NDArray[np.float64]]) -> Tensor:
    """What is true of each picture, [B, len(PARTS)], int64.

    circumstances: values in [0, 1), [B]; they count as low (0), middle (1) or high (2).
    """
    columns = [labels.shape, labels.colour, labels.pattern, labels.style]
    columns += [np.floor(circumstances[name] * 3).astype(np.int64) for name in CIRCUMSTANCE_WORDS]
    return torch.from_numpy(np.stack(columns, axis=1))


class CaptionWriter:
    """Writes one caption for each row of a parts table."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.tokenizer = TinyTokenizer()
        told = (*STYLE_WORDS.values(), *CIRCUMSTANCE_WORDS.values())
        spoken = {word for words in told for word in words}
        pool = (*TEMPLATE_WORDS, *OTHER_WORDS, *"abcdefghijklmnopqrstuvwxyz")
        named = {*COLOURS, *PATTERNS, *SHAPES, *spoken}
        self.fillers = np.array(
            [self._id(word) for word in dict.fromkeys(pool) if word not in named]
        )
        self.placeholder, self.thing = self._id("x"), self._id("thing")
        self.names = {
            "shape": [self._id(w) for w in SHAPES],
            "colour": [self._id(w) for w in COLOURS],
            "pattern": [self._id(w) for w in PATTERNS],
        }
        self.styles = [[self._id(w) for w in STYLE_WORDS[style]] for style in STYLES]
        self.circumstances = [[self._id(w) for w in ws] for ws in CIRCUMSTANCE_WORDS.values()]
        self.plain = [self._template(text) for text in PLAIN_TEMPLATES]
        self.told = [self._template(text) for text in TOLD_TEMPLATES]
        shares = np.array([share for share, _ in NAME_FORMS])
        self.form_shares = shares / shares.sum()

    def _id(self, word: str) -> int:
        (token,) = self.tokenizer.encode(word)
        return token

    def _template(self, text: str) -> list[int | str]:
        slots = text.replace("{}", " NAME ").replace("[]", " TOLD ")
        for mark in ".,":
            slots = slots.replace(mark, f" {mark}")
        return [word if word in ("NAME", "TOLD") else self._id(word) for word in slots.split()]

    def write(self, table: Tensor, fillers: int = MAX_FILLERS) -> Captions:
        """table: [B, len(PARTS)], from parts_table; fillers: the most other words a caption has."""
        rows = table.tolist()
        mentioned = torch.zeros(len(rows), len(PARTS), dtype=torch.bool)
        # One bound a batch on the number of fillers keeps many batches short.
        bound = int(self.rng.integers(0, fillers + 1))
        sentences = []
        for row, values in enumerate(rows):
            sentence, parts = self._sentence(values)
            mentioned[row, parts] = True
            sentences.append(self._with_fillers(sentence, bound))
        return Captions(self._pad(sentences), mentioned)

    def _pad(self, sentences: list[list[int]]) -> Tensor:
        longest = max(map(len, sentences)) + 2
        tokens = torch.full((len(sentences), longest), self.tokenizer.pad, dtype=torch.int64)
        for row, sentence in enumerate(sentences):
            ids = [self.tokenizer.sot, *sentence, self.tokenizer.eot]
            tokens[row, : len(ids)] = torch.tensor(ids)
        return tokens

    def write_words(self, fillers: int = MAX_FILLERS) -> Tensor:
        """One caption for each single word, [14 + 12 + 6, L]: all shapes, colours, patterns."""
        bound = int(self.rng.integers(0, fillers + 1))
        sentences = []
        for part in NAME_PARTS:
            for word in self.names[part]:
                name = [word] if part == "shape" else [word, self.thing]
                template = self.plain[int(self.rng.integers(len(self.plain)))]
                sentence: list[int] = []
                for slot in template:
                    sentence += name if isinstance(slot, str) else [slot]
                sentences.append(self._with_fillers(sentence, bound))
        return self._pad(sentences)

    def _sentence(self, values: list[int]) -> tuple[list[int], list[int]]:
        rng = self.rng
        _, form = NAME_FORMS[int(rng.choice(len(NAME_FORMS), p=self.form_shares))]
        parts = [PARTS.index(name) for name in form]
        name = [self.names[part][values[PARTS.index(part)]] for part in form]
        told = rng.random() < TOLD_SHARE
        templates = self.told if told else self.plain
        sentence: list[int] = []
        for slot in templates[int(rng.integers(len(templates)))]:
            if slot == "NAME":
                sentence += name
            elif slot == "TOLD":
                word, part = self._told(values)
                sentence.append(word)
                parts.append(part)
            else:
                assert isinstance(slot, int)
                sentence.append(slot)
        return sentence, parts

    def _told(self, values: list[int]) -> tuple[int, int]:
        """A word for the style or for a circumstance that is clearly low or high, and its part."""
        rng = self.rng
        if rng.random() < 0.5:
            which = int(rng.integers(len(self.circumstances)))
            part = PARTS.index(TOLD_PARTS[1 + which])
            if values[part] != 1:
                return self.circumstances[which][values[part] // 2], part
        words = self.styles[values[PARTS.index("style")]]
        return words[int(rng.integers(len(words)))], PARTS.index("style")

    def _with_fillers(self, sentence: list[int], bound: int) -> list[int]:
        rng = self.rng
        count = int(rng.integers(0, bound + 1))
        if rng.random() < 0.15:
            fillers = [self.placeholder] * count
        else:
            fillers = rng.choice(self.fillers, size=count).tolist()
        # Mostly before the sentence, where prompt learning puts its context.
        before = count if rng.random() < 0.8 else int(rng.integers(0, count + 1))
        return fillers[:before] + sentence + fillers[before:]
