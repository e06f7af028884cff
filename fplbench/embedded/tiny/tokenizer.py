"""The embedded backbone's tokenizer: a word it knows is one token, any other word is its bytes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import torch
from torch import Tensor

from fplbench.embedded.render import COLOURS, PATTERNS, SHAPES

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

# Words by which captions name a drawing style; the first is the style's own name.
STYLE_WORDS: dict[str, tuple[str, ...]] = {
    "photo": ("photo", "clean", "flat"),
    "outline": ("outline", "hollow", "contour"),
    "sketch": ("sketch", "dashed", "drawn"),
    "blurry": ("blurry", "blurred", "soft"),
    "neon": ("neon", "glowing", "luminous"),
    "grainy": ("grainy", "noisy", "rough"),
    "pixelated": ("pixelated", "blocky", "coarse"),
    "sticker": ("sticker", "bordered", "framed"),
}

# Words for the circumstances of a picture: low and high third of each.
CIRCUMSTANCE_WORDS: dict[str, tuple[str, str]] = {
    "scale": ("small", "large"),
    "haze": ("clear", "hazy"),
    "contrast": ("faded", "vivid"),
    "light": ("dark", "bright"),
    "clutter": ("empty", "cluttered"),
}

TEMPLATE_WORDS = """
a an the this that these it is are was there here one some many my your our of in on at with by
and or for to from as style background photo picture image drawing painting rendering print
figure scene view sign object thing shape colour color pattern type kind good bad nice best low
high contrast resolution close up cropped plastic toy art origami itap digit number handwritten
shows written letter satellite texture centered type pet flower food aircraft car person doing
""".split()  # noqa: SIM905 (as a list it would take pages)

# Words that mean nothing to the backbone: captions carry them before and after the sentence, so
# that it learns to find the class words at every position.
OTHER_WORDS = """
about above after again air all also always animal any away back be because been before big bird
boat book both boy but came can cat chair child city cloud come could country day did different do
dog door down each earth eat end even every eye face family far fast father feet few field find
first fish follow food girl give go grass great group grow had hand hard has have head hear help
her him his home horse how just keep kind know land last learn left life light like line list
little live long look made make man may mean men might mother mountain move much must name near
need never new next night not now off old only open other out over own page paper part people
place plane plant play point read right river road room run said same saw say school sea second
see seem sentence set she should show side small so song soon sound spell stand start state still
stop story study such sun table take talk tell than their them then they think through time tree
try turn under until use very walk want watch water way we well went were what wheel when where
which while who why will wind window without word work world would write year you young
""".split()  # noqa: SIM905 (as a list it would take pages)


def _vocabulary() -> tuple[str, ...]:
    groups: list[Sequence[str]] = [tuple(COLOURS), PATTERNS, SHAPES, DIGITS]
    groups += list(STYLE_WORDS.values()) + list(CIRCUMSTANCE_WORDS.values())
    groups += [TEMPLATE_WORDS, "abcdefghijklmnopqrstuvwxyz", "0123456789", ".,:;!?-'()&/"]
    groups += [OTHER_WORDS]
    # dict.fromkeys keeps the first of equal words and their order.
    return tuple(dict.fromkeys(word for group in groups for word in group))


WORDS = _vocabulary()
VOCABULARY_SIZE = 704
_PIECE = re.compile(r"\w+|[^\w\s]")


class TinyTokenizer:
    """Texts to token ids, called like open_clip's tokenizers.

    Ids: 0 padding, 1 the end of a spelled word, 2..257 bytes, then words; `sot` and `eot` are the
    two largest, since open_clip finds a text's end as the largest id.
    """

    pad = 0
    word_end = 1
    first_byte = 2
    first_word = 258
    sot = VOCABULARY_SIZE - 2
    eot = VOCABULARY_SIZE - 1
    context_length = 77
    vocab_size = VOCABULARY_SIZE

    def __init__(self) -> None:
        self._id = {word: self.first_word + k for k, word in enumerate(WORDS)}

    @staticmethod
    def normalise(text: str) -> str:
        """The text as the tokenizer sees it: composed, lower case, one space between pieces."""
        text = unicodedata.normalize("NFC", text).lower()
        return " ".join(_PIECE.findall(text))

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, without start, end and padding."""
        ids: list[int] = []
        for piece in self.normalise(text).split(" "):
            known = self._id.get(piece)
            if known is not None:
                ids.append(known)
            elif piece:
                ids.extend(self.first_byte + byte for byte in piece.encode("utf-8", "replace"))
                ids.append(self.word_end)
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """The normalised text of these ids; start, end and padding are left out."""
        words: list[str] = []
        spelled = bytearray()
        for token in ids:
            if self.first_byte <= token < self.first_word:
                spelled.append(token - self.first_byte)
            elif token == self.word_end:
                words.append(spelled.decode("utf-8", "replace"))
                spelled.clear()
            elif self.first_word <= token < self.first_word + len(WORDS):
                words.append(WORDS[token - self.first_word])
        if spelled:
            words.append(spelled.decode("utf-8", "replace"))
        return " ".join(words)

    def __call__(self, texts: str | Sequence[str], context_length: int | None = None) -> Tensor:
        """Ids [N, context_length], int64: start, text, end, padding; a long text keeps its end."""
        length = self.context_length if context_length is None else context_length
        if length < 2:
            raise ValueError(f"context_length is {length}, but start and end alone take 2 tokens")
        texts = [texts] if isinstance(texts, str) else list(texts)
        tokens = torch.full((len(texts), length), self.pad, dtype=torch.int64)
        for row, text in enumerate(texts):
            ids = [self.sot, *self.encode(text)[: length - 2], self.eot]
            tokens[row, : len(ids)] = torch.tensor(ids)
        return tokens
