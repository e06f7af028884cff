"""Class names as tokens, and where a context's vectors stand among them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, Protocol

import torch
from torch import Tensor

from fplbench.clip.packing import Packed, pack
from fplbench.errors import UserError

Position = Literal["end", "middle", "front"]
"""Where a class name stands: after the context, in its middle, or before it."""


Read = Literal["own", "longest"]
"""Where a prompt with fewer vectors than others is read: at its own end, or where it would end with
as many as any has, among the padding."""


class Tokenizer(Protocol):
    """What open_clip's tokenizers have in common."""

    def __call__(self, texts: list[str], context_length: int) -> Tensor:
        """[len(texts), context_length] token ids, cut or padded to that length."""


@dataclass(frozen=True)
class Layout:
    """Prompts of one context length and position, padded at the right.

    ids: [K, L], anything at the context's places. slots: [K, n], the context's places.
    read: [K], the position whose output is the prompt's feature.
    """

    ids: Tensor
    slots: Tensor
    read: Tensor


@dataclass(frozen=True, eq=False)
class PromptTokens:
    """The class names of a task as tokens of one text tower.

    rows: for each class the tokens of "name." with what the tokenizer puts around it; words: how
    many of them are the name's own. head: tokens before the first word, 1 with a [SOS].
    """

    classnames: tuple[str, ...]
    rows: tuple[tuple[int, ...], ...]
    words: tuple[int, ...]
    vocabulary: Vocabulary
    device: torch.device
    _layouts: dict[tuple[int, Position], Layout] = field(default_factory=dict)
    _packed: list[Packed] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.rows)

    def layout(self, n: int, position: Position) -> Layout:
        """Where n context vectors stand: before the name ("end" for the name's place), half of
        them on each side ("middle"), or after it ("front"), as in CoOp's code.
        """
        if (n, position) not in self._layouts:
            self._layouts[n, position] = self._lay_out(n, position)
        return self._layouts[n, position]

    def packed(self, n: int) -> Packed:
        """What follows [SOS] and n shared context vectors."""
        self._check(n)
        if not self._packed:
            tails = [row[self.vocabulary.head :] for row in self.rows]
            self._packed.append(pack(tails, self.vocabulary.pad).to(self.device))
        return self._packed[0]

    def _check(self, n: int) -> None:
        limit = self.vocabulary.context_length
        longest = max(range(len(self)), key=lambda k: len(self.rows[k]))
        if n + len(self.rows[longest]) > limit:
            raise UserError(
                f"the class name {self.classnames[longest]!r} and {n} context vectors take "
                f"{n + len(self.rows[longest])} tokens, but the text tower reads {limit}: use a "
                f"shorter context or a shorter class name"
            )

    def _lay_out(self, n: int, position: Position) -> Layout:
        self._check(n)
        before = {"end": n, "middle": n // 2, "front": 0}[position]
        head, filler = self.vocabulary.head, [self.vocabulary.pad]
        ids, slots = [], []
        for row, words in zip(self.rows, self.words, strict=True):
            after = head + words  # the end of the name, when no context stands before it
            if position == "end":
                after = head
            ids.append([*row[:head], *filler * before, *row[head:after]])
            slots.append([*range(head, head + before)])
            slots[-1] += range(len(ids[-1]), len(ids[-1]) + n - before)
            ids[-1] += [*filler * (n - before), *row[after:]]
        length = self.vocabulary.padded_length(max(map(len, ids)))
        read = [self.vocabulary.read(len(row), length) for row in ids]
        padded = [row + filler * (length - len(row)) for row in ids]
        parts = (padded, slots, read)
        return Layout(*(torch.tensor(x, dtype=torch.long, device=self.device) for x in parts))


class Vocabulary:
    """A tokenizer together with how its tower is read."""

    def __init__(
        self, tokenizer: Tokenizer, context_length: int, causal: bool, pool: str, eos: int
    ) -> None:
        self.context_length = context_length
        self.causal = causal
        self._tokenizer = tokenizer
        self._pool = pool
        self._eos = eos
        self.ids: Callable[[str], tuple[int, ...]] = lru_cache(maxsize=None)(self._ids)
        # Tokenizers without a [SOS] exist (SigLIP's): then different words begin differently.
        self.head = int(self.ids("a")[0] == self.ids("b")[0])
        self.start = self.ids("a")[: self.head]
        self.pad = int(self._row("a")[-1])

    def _row(self, text: str) -> Tensor:
        # Twice the length shows a text that is too long, instead of one silently cut.
        return self._tokenizer([text], context_length=2 * self.context_length)[0]

    def _ids(self, text: str) -> tuple[int, ...]:
        """The tokens of a text up to and with its [EOT]."""
        row = self._row(text)
        if self._pool == "argmax":
            end = int(row.argmax())
        elif self._pool == "eos":
            end = int((row == self._eos).int().argmax())
        else:  # the padding begins where the last token's run begins; it may also be the [EOT]
            end = int((row != row[-1]).nonzero().max()) + 1
        return tuple(row[: end + 1].tolist())

    def padded_length(self, longest: int) -> int:
        """Positions that have to be computed: in a causal tower, none after the last [EOT]."""
        reads_end = self._pool in ("argmax", "eos")
        return longest if self.causal and reads_end else self.context_length

    def read(self, tokens: int, length: int) -> int:
        """The position of the feature in a prompt of that many tokens, padded to `length`."""
        return {"first": 0, "last": length - 1}.get(self._pool, tokens - 1)

    def prompts(self, classnames: Sequence[str], device: torch.device) -> PromptTokens:
        """Tokenised as CoOp's code does: "_" is a blank, and a full stop ends the prompt."""
        names = [name.replace("_", " ") for name in classnames]
        return PromptTokens(
            classnames=tuple(classnames),
            rows=tuple(self.ids(f"{name}.") for name in names),
            words=tuple(len(self.ids(name)) - self.head - 1 for name in names),
            vocabulary=self,
            device=device,
        )
