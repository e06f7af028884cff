"""One renderer for the embedded data sets and for the pretraining of the embedded backbone.

A picture shows one object: a shape in a colour and a pattern, drawn in one of eight styles, on
a background with clutter. It depends on nothing but (seed, index, labels, difficulty): every
random number is a hash of these, so neither the batch size nor the order of calls matters.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fplbench.embedded.fields import PATTERNS as PATTERN_FIELDS
from fplbench.embedded.fields import SHAPES as SHAPE_FIELDS
from fplbench.embedded.fields import pattern_field, pixel_noise, shape_distance
from fplbench.rng import derive

SHAPES: tuple[str, ...] = tuple(SHAPE_FIELDS)
PATTERNS: tuple[str, ...] = tuple(PATTERN_FIELDS)
COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.86, 0.10, 0.12),
    "orange": (0.98, 0.52, 0.05),
    "yellow": (0.97, 0.87, 0.12),
    "green": (0.13, 0.62, 0.20),
    "cyan": (0.10, 0.80, 0.84),
    "blue": (0.12, 0.25, 0.85),
    "purple": (0.50, 0.15, 0.68),
    "pink": (0.98, 0.50, 0.72),
    "brown": (0.47, 0.28, 0.12),
    "white": (0.97, 0.97, 0.97),
    "gray": (0.52, 0.52, 0.52),
    "black": (0.06, 0.06, 0.06),
}


@dataclass(frozen=True)
class Style:
    """How an object is drawn. Lengths are in units of half the picture's side.

    fill, second: opacity of the object's first and second tone; line: width of its border;
    border: the border's tone, from 0 (the object's colour) to 1 (white); soft: blur of edges;
    dash, hatch: strength of broken borders and of pen strokes; glow: light around the object;
    grain: noise; block: side of a picture's blocks; night: the background is dark.
    """

    fill: float = 1.0
    second: float = 1.0
    line: float = 0.0
    border: float = 0.0
    soft: float = 0.03
    dash: float = 0.0
    hatch: float = 0.0
    glow: float = 0.0
    grain: float = 0.0
    block: float = 0.0
    night: float = 0.0


STYLES: dict[str, Style] = {
    "photo": Style(line=0.06),
    "outline": Style(fill=0.0, second=0.6, line=0.11),
    "sketch": Style(fill=0.65, second=0.9, line=0.08, dash=1.0, hatch=0.8),
    "blurry": Style(soft=0.18),
    "neon": Style(fill=0.3, second=0.75, line=0.1, border=0.25, glow=0.7, night=1.0),
    "grainy": Style(line=0.06, grain=0.22),
    "pixelated": Style(block=0.125, soft=0.06),
    "sticker": Style(line=0.12, border=1.0),
}


@dataclass(frozen=True)
class Difficulty:
    """Ranges (low, high) from which each picture's circumstances are drawn evenly.

    scale: the object's radius in half picture sides; shift: the farthest its centre moves;
    turn: the largest rotation in full turns; jitter: spread of its colour; tone: how far the
    second tone is from the first; frequency: periods of the pattern in an object's radius;
    ground: spread of the background's colours, from 0 (all the same) to 1 (any);
    texture: strength of the background's own pattern; clutter, occluders: number of bars behind
    and over the object; contrast: factor on the picture's spread around mid-gray; haze: share of
    `haze_colour` mixed in; noise: amplitude.
    """

    scale: tuple[float, float] = (0.6, 0.85)
    shift: float = 0.16
    turn: float = 0.05
    jitter: float = 0.06
    tone: tuple[float, float] = (0.55, 0.75)
    frequency: tuple[float, float] = (1.5, 2.0)
    ground: float = 1.0
    texture: tuple[float, float] = (0.0, 0.3)
    clutter: tuple[int, int] = (0, 2)
    occluders: tuple[int, int] = (0, 0)
    contrast: tuple[float, float] = (0.75, 1.0)
    haze: tuple[float, float] = (0.0, 0.15)
    haze_colour: tuple[float, float, float] = (0.6, 0.6, 0.6)
    noise: tuple[float, float] = (0.0, 0.08)


EASY = Difficulty()

# Columns of a picture's random numbers: 0 noise and haze, 1-3 the colour's jitter (2 also the
# amount of noise), 4 tone, 5-8 the background's light and tint, 9-13 its texture, 14-15 numbers
# of bars, 16-19 the object's place, 20-22 pattern and pen strokes, 23 contrast, then 8 a bar.
_MAX_BARS = 6
_CHANNELS = 24 + 2 * _MAX_BARS * 8
# A background that no colour of an object comes near.
_SAME_GROUND = np.array([0.0, 0.27, 0.3])
_LUMINANCE = np.array([0.3, 0.59, 0.11])
_STYLE_TABLE = np.array([list(vars(style).values()) for style in STYLES.values()])
_STYLE_COLUMN = {name: k for k, name in enumerate(vars(Style()))}
_COLOUR_TABLE = np.array(list(COLOURS.values()))

Array = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Labels:
    """What each picture shows: indices [N] into SHAPES, COLOURS, PATTERNS and STYLES."""

    shape: Indices
    colour: Indices
    pattern: Indices
    style: Indices

    def __len__(self) -> int:
        return len(self.shape)

    def rows(self, start: int, stop: int) -> Labels:
        names = ("shape", "colour", "pattern", "style")
        return replace(self, **{name: getattr(self, name)[start:stop] for name in names})


def uniforms(seed: int, index: Indices, columns: int) -> Array:
    """Numbers in [0, 1), [N, columns]; row i depends on (seed, index[i]) alone (splitmix64)."""
    with np.errstate(over="ignore"):
        position = index.astype(np.uint64)[:, None] * np.uint64(columns)
        offset = np.arange(columns, dtype=np.uint64) + np.uint64(derive(seed, "render"))
        state: NDArray[np.uint64] = position + offset
        state = state * np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state ^= state >> np.uint64(31)
    return np.asarray((state >> np.uint64(11)).astype(np.float64) / 2.0**53)


def render(
    seed: int, index: Indices, labels: Labels, difficulty: Difficulty = EASY, size: int = 48
) -> Tensor:
    """Pictures of `labels`, uint8 [N, size, size, 3]; index [N] tells equal labels apart."""
    out = torch.empty(len(labels), size, size, 3, dtype=torch.uint8)
    for start in range(0, len(labels), 64):
        stop = start + 64
        rows = _Rows(seed, index[start:stop], labels.rows(start, stop), difficulty)
        out[start:stop] = _draw(rows, size)
    return out


class _Rows:
    """The parameters of a batch of pictures, computed in float64 and handed out as [B, 1, 1]."""

    def __init__(self, seed: int, index: Indices, labels: Labels, difficulty: Difficulty) -> None:
        self.labels, self.difficulty = labels, difficulty
        self.u = uniforms(seed, index, _CHANNELS)
        self.noise_key = torch.from_numpy((self.u[:, 0] * 2**31).astype(np.int64))
        self.colour, self.second, self.ground, self.ground_second = self._colours()

    def between(self, column: int, limits: tuple[float, float]) -> Array:
        low, high = limits
        return low + (high - low) * self.u[:, column]

    def style(self, name: str) -> Array:
        return np.asarray(_STYLE_TABLE[self.labels.style, _STYLE_COLUMN[name]])

    def _colours(self) -> tuple[Array, Array, Array, Array]:
        """The object's two tones and the background's, each [B, 3]."""
        night = self.style("night")[:, None]
        colour = _COLOUR_TABLE[self.labels.colour]
        colour = colour + (self.u[:, 1:4] - 0.5) * 2 * self.difficulty.jitter
        light = colour @ _LUMINANCE
        # The second tone goes towards black on light colours, towards white on dark ones.
        away = np.where(light > 0.5, 0.0, 1.0)[:, None]
        tone = self.between(4, self.difficulty.tone)[:, None]
        second = colour + (away - colour) * tone
        ground_light = self.u[:, 5]
        # A background as light as the object would hide it: it moves half the range away.
        close = np.abs(ground_light - light) < 0.3
        ground_light = np.where(close, (light + 0.5) % 1.0, ground_light)
        tint = (self.u[:, 6:9] - 0.5) * 0.3
        ground = (ground_light[:, None] + tint).clip(0, 1)
        dark = np.where(light > 0.2, 0.08, 0.9)[:, None] + tint * 0.3
        ground = ground + (dark - ground) * night
        ground = _SAME_GROUND + (ground - _SAME_GROUND) * self.difficulty.ground
        step = np.where(self.u[:, 9] > 0.5, 0.35, -0.35) * self.between(10, self.difficulty.texture)
        return colour.clip(0, 1), second, ground, ground + step[:, None]


def _column(values: NDArray[np.floating]) -> Tensor:
    """[B] -> [B, 1, 1], to stand beside pixels [B, H, W]."""
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))[:, None, None]


def _rgb(values: Array) -> Tensor:
    """[B, 3] -> [B, 3, 1, 1], to stand beside a picture [B, 3, H, W]."""
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))[:, :, None, None]


def _over(picture: Tensor, colour: Tensor, alpha: Tensor) -> Tensor:
    """Paint a colour [B, 3, ...] over a picture [B, 3, H, W] with opacity alpha [B, H, W]."""
    return picture + (colour - picture) * alpha[:, None]


def _cover(distance: Tensor, soft: Tensor) -> Tensor:
    """Opacity of the inside of a field: 1 within, 0 outside, a ramp as wide as `soft` between."""
    return (0.5 - distance / soft).clamp(0, 1)


def _draw(rows: _Rows, size: int) -> Tensor:
    """A batch of pictures, uint8 [B, size, size, 3]."""
    x, y = _grid(rows, size)
    picture = _background(rows, x, y)
    picture = _bars(rows, picture, x, y, over=False)
    picture = _object(rows, picture, x, y)
    picture = _bars(rows, picture, x, y, over=True)
    picture = _finish(rows, picture, size)
    return (picture.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1)


def _grid(rows: _Rows, size: int) -> tuple[Tensor, Tensor]:
    """Pixel centres in [-1, 1], y up, [B, H, W]; pictures of blocks see each block's centre."""
    line = (torch.arange(size, dtype=torch.float32) + 0.5) * (2 / size) - 1
    block = rows.style("block")
    side = _column(np.maximum(block, 1e-3))[:, 0]
    stepped = ((line / side).floor() + 0.5) * side
    line = torch.where(_column(block)[:, 0] > 0, stepped, line.expand_as(stepped))  # [B, size]
    count = len(block)
    x = line[:, None, :].expand(count, size, size).contiguous()
    y = -line[:, :, None].expand(count, size, size).contiguous()
    return x, y


def _background(rows: _Rows, x: Tensor, y: Tensor) -> Tensor:
    turn = 2 * np.pi * rows.u[:, 11]
    along = x * _column(np.cos(turn)) + y * _column(np.sin(turn))
    # A low frequency is a shaded ground, a high one a striped wall.
    t = along * _column(0.3 + 1.5 * rows.u[:, 12] ** 3) + _column(rows.u[:, 13])
    share = ((t - t.floor()) - 0.5).abs() * 2
    ground = _rgb(rows.ground).expand(-1, 3, *x.shape[1:])
    return _over(ground, _rgb(rows.ground_second), share)


def _bars(rows: _Rows, picture: Tensor, x: Tensor, y: Tensor, *, over: bool) -> Tensor:
    """Bars of any colour and direction: clutter behind the object, or occluders over it."""
    limits = rows.difficulty.occluders if over else rows.difficulty.clutter
    low, high = limits
    number = low + np.floor(rows.u[:, 14 if over else 15] * (high - low + 1))
    for k in range(high):
        first = 24 + (k + (_MAX_BARS if over else 0)) * 8
        u = rows.u[:, first : first + 8]
        turn = 2 * np.pi * u[:, 0]
        cos, sin = np.cos(turn), np.sin(turn)
        # Behind: anywhere. Over: a thin bar through the object's outer half.
        reach = 0.25 + 0.3 * u[:, 1] if over else 0.5 + 0.5 * u[:, 1]
        length = 0.5 + 0.5 * u[:, 2] if over else 0.15 + 0.5 * u[:, 2]
        width = 0.04 + 0.06 * u[:, 3] if over else 0.05 + 0.15 * u[:, 3]
        along = x * _column(cos) + y * _column(sin)
        across = y * _column(cos) - x * _column(sin) - _column(reach)
        middle = 0.6 * (u[:, 4] - 0.5)
        field = torch.maximum(
            (along - _column(middle)).abs() - _column(length), across.abs() - _column(width)
        )
        alpha = _cover(field, _column(rows.style("soft"))) * _column((number > k) * 0.9)
        picture = _over(picture, _rgb(0.1 + 0.8 * u[:, 5:8]), alpha)
    return picture


def _object(rows: _Rows, picture: Tensor, x: Tensor, y: Tensor) -> Tensor:
    difficulty = rows.difficulty
    scale = rows.between(16, difficulty.scale)
    turn = 2 * np.pi * rows.between(17, (-difficulty.turn, difficulty.turn))
    # A small object moves more than one that nearly fills the picture.
    shift = difficulty.shift * (1.6 - scale)
    dx = x - _column((rows.u[:, 18] * 2 - 1) * shift)
    dy = y - _column((rows.u[:, 19] * 2 - 1) * shift)
    cos, sin = _column(np.cos(turn) / scale), _column(np.sin(turn) / scale)
    px, py = dx * cos + dy * sin, dy * cos - dx * sin
    soft, size = _column(rows.style("soft")), _column(scale)
    distance = shape_distance(torch.from_numpy(rows.labels.shape), px, py) * size
    inside = _cover(distance, soft)
    glow = _column(rows.style("glow")) * (1 - distance.clamp(min=0) / 0.5).clamp(0, 1)
    picture = _over(picture, _rgb(rows.colour), glow * 0.5)

    frequency = _column(rows.between(20, difficulty.frequency))
    field = pattern_field(torch.from_numpy(rows.labels.pattern), px, py, frequency)
    second = _cover(-field * size / (4 * frequency), soft * 0.7)
    strokes = _strokes(x - y, 5.0, _column(rows.u[:, 21])) * _column(rows.style("hatch"))
    first_alpha = inside * (1 - second) * _column(rows.style("fill")) * (1 - 0.6 * strokes)
    second_alpha = inside * second * _column(rows.style("second")) * (1 - 0.6 * strokes)
    picture = _over(picture, _rgb(rows.colour), first_alpha)
    # A drawing without fill shows its pattern in the object's own colour.
    hollow = (rows.style("fill") < 0.4)[:, None]
    picture = _over(picture, _rgb(np.where(hollow, rows.colour, rows.second)), second_alpha)
    return _border(rows, picture, x + y, distance, soft)


def _strokes(t: Tensor, frequency: float, phase: Tensor) -> Tensor:
    """Slanted pen strokes: 0 on ink, 1 between."""
    t = t * frequency + phase
    return ((((t - t.floor()) - 0.5).abs() * 4 - 1) * 2).clamp(0, 1)


def _border(rows: _Rows, picture: Tensor, slant: Tensor, distance: Tensor, soft: Tensor) -> Tensor:
    """The object's outline, white on stickers and broken in sketches. slant: [B, H, W]."""
    width = rows.style("line")
    tone = rows.style("border")[:, None]
    line = _cover(distance.abs() - _column(width / 2), soft) * _column((width > 0) * 1.0)
    gaps = _strokes(slant, 2.5, _column(rows.u[:, 22])) * _column(rows.style("dash"))
    return _over(picture, _rgb(rows.colour + (1 - rows.colour) * tone), line * (1 - gaps))


def _finish(rows: _Rows, picture: Tensor, size: int) -> Tensor:
    """Contrast, haze and noise: what the camera and the air do."""
    difficulty = rows.difficulty
    contrast = _column(rows.between(23, difficulty.contrast))[:, None]
    picture = (picture - 0.5) * contrast + 0.5
    share = rows.between(0, difficulty.haze)
    haze = _rgb(np.broadcast_to(np.array(difficulty.haze_colour), rows.colour.shape))
    picture = _over(picture, haze, _column(share))
    amplitude = rows.between(2, difficulty.noise) + rows.style("grain")
    return picture + pixel_noise(rows.noise_key, size, size) * _column(amplitude)[:, None]


def circumstances(
    seed: int, index: Indices, labels: Labels, difficulty: Difficulty = EASY
) -> dict[str, Array]:
    """What else captions may say of each picture: scale, haze, contrast, light of the background
    and amount of clutter, each in [0, 1) within the difficulty's own range, [N]."""
    rows = _Rows(seed, index, labels, difficulty)
    return {
        "scale": rows.u[:, 16],
        "haze": rows.u[:, 0],
        "contrast": rows.u[:, 23],
        "light": (rows.ground @ _LUMINANCE).clip(0, 0.999),
        "clutter": rows.u[:, 15],
    }
