"""Letters of every script in pictures: which of this machine's fonts has them, and what stands for
those that none has."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLAIN = "DejaVu Sans"
"""matplotlib's own: Latin, Greek, Cyrillic, Arabic, Hebrew and more, but nothing of East Asia."""


def drawable(text: str) -> str:
    """The text with numbers (\\u732b) for letters that no font of this machine has, so that two
    names stay two."""
    return "".join(
        letter if letter.isspace() or _has(letter) else letter.encode("unicode_escape").decode()
        for letter in text
    )


def families(text: str) -> list[str]:
    """The fonts that the letters need, matplotlib's own first."""
    found = [_font_of(letter) for letter in text if not letter.isspace()]
    return list(dict.fromkeys([PLAIN, *(name for name in found if name)]))


def file_for(text: str) -> Path:
    """The font that has most of the letters."""
    names = families(text)
    counts = {n: sum(ord(letter) in _letters(_files()[n]) for letter in text) for n in names}
    return Path(_files()[max(names, key=lambda name: counts[name])])


def fit(figure: Figure) -> None:
    """Give every text of a figure the fonts that its letters need."""
    from matplotlib.text import Text
    from matplotlib.ticker import FuncFormatter

    def numbered(formatter: Any) -> FuncFormatter:
        return FuncFormatter(lambda value, place: drawable(formatter(value, place)))

    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            # Not a number's minus, which every font has: numbers are written for the ticks that a
            # layout ends with, of which the formatter below would not hear.
            labels = "".join(label.get_text() for label in axis.get_ticklabels()).replace("−", "")
            if not labels.isascii():  # made anew whenever they are drawn
                axis.set_major_formatter(numbered(axis.get_major_formatter()))
                if len(needed := families(drawable(labels))) > 1:
                    axis.set_tick_params(labelfontfamily=needed)
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        if not text.get_text().isascii():
            text.set_text(drawable(text.get_text()))
            if len(needed := families(text.get_text())) > 1:
                text.set_fontfamily(needed)


def _has(letter: str) -> bool:
    return letter.isascii() or _font_of(letter) != ""


@functools.cache
def _font_of(letter: str) -> str:
    """The name of a font with this letter, matplotlib's own before others; "" if there is none."""
    if letter.isascii() or ord(letter) in _letters(_files()[PLAIN]):
        return PLAIN
    names = sorted(_files(), key=lambda name: ("Sans" not in name, name))
    return next((name for name in names if ord(letter) in _letters(_files()[name])), "")


@functools.cache
def _files() -> dict[str, str]:
    """This machine's upright fonts of usual weight: name -> file."""
    from matplotlib import font_manager

    every = font_manager.fontManager.ttflist
    found = {
        font.name: font.fname
        for font in every
        # One that only draws frames round numbers has every letter, and tells none apart.
        if font.style == "normal"
        and font.weight in (400, "normal")
        and "Last Resort" not in font.name
    }
    return {PLAIN: font_manager.findfont(PLAIN), **found}


@functools.cache
def _letters(file: str) -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(FT2Font(file).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()
