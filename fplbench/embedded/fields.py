"""Shapes and patterns as fields over a pixel grid, for the renderer.

A field is computed with +, -, *, /, sqrt, min, max, abs and floor alone. These are rounded
alike in every code path of torch, so a pixel does not depend on the batch it is drawn in.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor


def _disc(x: Tensor, y: Tensor, cx: float, cy: float, radius: float) -> Tensor:
    return ((x - cx) * (x - cx) + (y - cy) * (y - cy)).sqrt() - radius


def _plane(x: Tensor, y: Tensor, angle: float, offset: float) -> Tensor:
    """Signed distance to the half-plane whose outward normal has this angle (in turns)."""
    return math.cos(2 * math.pi * angle) * x + math.sin(2 * math.pi * angle) * y - offset


def _maximum(*fields: Tensor) -> Tensor:
    result = fields[0]
    for field in fields[1:]:
        result = torch.maximum(result, field)
    return result


def circle(x: Tensor, y: Tensor) -> Tensor:
    return _disc(x, y, 0.0, 0.0, 0.82)


def square(x: Tensor, y: Tensor) -> Tensor:
    return torch.maximum(x.abs(), y.abs()) - 0.7


def triangle(x: Tensor, y: Tensor) -> Tensor:
    return _maximum(*(_plane(x, y + 0.15, 0.75 + k / 3, 0.5) for k in range(3)))


def star(x: Tensor, y: Tensor) -> Tensor:
    """Inside all five half-planes but at most one: the second largest field decides."""
    planes = torch.stack([_plane(x, y, 0.75 + k / 5, 0.33) for k in range(5)])
    return planes.topk(2, dim=0).values[1]


def cross(x: Tensor, y: Tensor) -> Tensor:
    ax, ay = x.abs(), y.abs()
    return torch.minimum(torch.maximum(ax - 0.85, ay - 0.28), torch.maximum(ay - 0.85, ax - 0.28))


def heart(x: Tensor, y: Tensor) -> Tensor:
    ax = x.abs()
    lobe = _disc(ax, y, 0.4, 0.3, 0.45)
    tip = torch.maximum(0.765 * ax - 0.644 * (y + 0.85), y - 0.3)
    return torch.minimum(lobe, tip)


def ring(x: Tensor, y: Tensor) -> Tensor:
    return _disc(x, y, 0.0, 0.0, 0.62).abs() - 0.23


def hexagon(x: Tensor, y: Tensor) -> Tensor:
    return _maximum(*(_plane(x, y, k / 6, 0.0).abs() for k in range(3))) - 0.75


def moon(x: Tensor, y: Tensor) -> Tensor:
    return torch.maximum(_disc(x, y, 0.0, 0.0, 0.88), -_disc(x, y, 0.45, 0.0, 0.66))


def arrow(x: Tensor, y: Tensor) -> Tensor:
    shaft = torch.maximum((x + 0.4).abs() - 0.5, y.abs() - 0.22)
    head = torch.maximum(0.05 - x, 0.7071 * (x - 0.9) + 0.7071 * y.abs())
    return torch.minimum(shaft, head)


def drop(x: Tensor, y: Tensor) -> Tensor:
    cone = torch.maximum(0.87 * x.abs() + 0.49 * (y - 0.95), -0.05 - y)
    return torch.minimum(_disc(x, y, 0.0, -0.3, 0.56), cone)


def flower(x: Tensor, y: Tensor) -> Tensor:
    petals = _disc(x, y, 0.0, 0.0, 0.3)
    for k in range(5):
        turn = 2 * math.pi * (k / 5 + 0.25)
        petal = _disc(x, y, 0.55 * math.cos(turn), 0.55 * math.sin(turn), 0.33)
        petals = torch.minimum(petals, petal)
    return petals


def house(x: Tensor, y: Tensor) -> Tensor:
    walls = torch.maximum(x.abs() - 0.55, (y + 0.35).abs() - 0.45)
    roof = torch.maximum(0.08 - y, 0.67 * x.abs() + 0.74 * (y - 0.88))
    return torch.minimum(walls, roof)


def bowl(x: Tensor, y: Tensor) -> Tensor:
    return torch.maximum(_disc(x, y, 0.0, 0.4, 0.92), y - 0.4)


# Each takes coordinates x, y in the object's frame (y up, the object within about one unit of
# the origin) and gives the signed distance in these units, negative inside.
SHAPES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    field.__name__: field
    for field in (
        circle, square, triangle, star, cross, heart, ring,
        hexagon, moon, arrow, drop, flower, house, bowl,
    )
}  # fmt: skip


def shape_distance(shape: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Signed distance of every image's own shape. shape: [B]; x, y: [B, H, W] -> [B, H, W]."""
    distance = torch.empty_like(x)
    for number, field in enumerate(SHAPES.values()):
        rows = (shape == number).nonzero()[:, 0]
        if len(rows):
            distance[rows] = field(x[rows], y[rows])
    return distance


def _wave(t: Tensor) -> Tensor:
    """A triangle wave of period 1 between -1 and 1."""
    return ((t - t.floor()) - 0.5).abs() * 4 - 1


def _dots(x: Tensor, y: Tensor, frequency: Tensor) -> Tensor:
    u, v = x * frequency, y * frequency
    u, v = u - u.floor() - 0.5, v - v.floor() - 0.5
    return (u * u + v * v).sqrt() * -4 + 1.25


# Each takes object coordinates [b, H, W] and a frequency [b, 1, 1] (periods a unit) and gives
# a field that is positive where the second tone goes, with slope about 4 x frequency.
PATTERNS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "plain": lambda x, y, f: torch.full_like(x, -4.0),
    "striped": lambda x, y, f: _wave(x * f),
    "dotted": _dots,
    "checkered": lambda x, y, f: _wave(x * f * 0.7) * _wave(y * f * 0.7) * 2,
    "gridded": lambda x, y, f: torch.maximum(_wave(x * f), _wave(y * f)) * 1.0 - 0.35,
    "halved": lambda x, y, f: x * f * 4,
}


def pattern_field(pattern: Tensor, x: Tensor, y: Tensor, frequency: Tensor) -> Tensor:
    """Every image's own pattern. pattern: [B]; x, y: [B, H, W]; frequency: [B, 1, 1]."""
    field = torch.empty_like(x)
    for number, fill in enumerate(PATTERNS.values()):
        rows = (pattern == number).nonzero()[:, 0]
        if len(rows):
            field[rows] = fill(x[rows], y[rows], frequency[rows])
    return field


def pixel_noise(key: Tensor, height: int, width: int) -> Tensor:
    """White noise in [-1, 1) from an integer hash. key: [B] int64 -> [B, 3, H, W]."""
    value = torch.arange(height * width, dtype=torch.int64) * 0x9E3779B1 + key[:, None]
    for factor in (0x7FEB352D, 0x846CA68B):
        value = (value ^ (value >> 16)) & 0xFFFFFFFF
        value = (value * factor) & 0xFFFFFFFF
    value = (value ^ (value >> 16)).view(len(key), height, width)
    # One hash serves the three channels: ten bits each.
    channels = torch.stack([(value >> shift) & 1023 for shift in (0, 10, 20)], dim=1)
    return channels.float() / 512 - 1
