"""The flowchart of architecture.md without mermaid, a script of 3 MB that a CDN would serve.

The rooms stand in rows, each below all that import it, and each says what it imports itself.
"""

from __future__ import annotations

import re
from html import escape
from typing import Any

EDGE = re.compile(r"\s+(-->|-\.->)\s+")
NODE = re.compile(r'(\w+)(?:\["([^"]*)"\])?')


def drawn(source: str, *_: Any, **__: Any) -> str:
    """HTML of a mermaid flowchart; what superfences calls for a fence."""
    words, edges = read(source)
    depth = depths(words, edges)
    rows = [[name for name in words if depth[name] == d] for d in sorted(set(depth.values()))]
    inside = "".join(
        f"<li><ul>{''.join(_box(name, words[name], edges) for name in row)}</ul></li>"
        for row in rows
    )
    return f'<ol class="rooms">{inside}</ol>'


def read(source: str) -> tuple[dict[str, str], list[tuple[str, str, bool]]]:
    """Name -> words of every box, and the arrows: from, to, whether dotted."""
    words: dict[str, str] = {}
    edges = []
    for line in source.strip().splitlines()[1:]:
        parts = EDGE.split(line.strip())
        groups = []
        for part in parts[::2]:
            found = NODE.findall(part)
            groups.append([name for name, _ in found])
            for name, text in found:
                words[name] = text or words.get(name, name)
        for left, arrow, right in zip(groups, parts[1::2], groups[1:], strict=False):
            edges += [(a, b, arrow == "-.->") for a in left for b in right]
    return words, edges


def depths(words: dict[str, str], edges: list[tuple[str, str, bool]]) -> dict[str, int]:
    """Name -> the longest way to it by imports, from the first room and those nobody imports."""
    depth = {name: min(place, 1) for place, name in enumerate(words)}
    for _ in words:
        for a, b, dotted in edges:
            if not dotted:
                depth[b] = max(depth[b], depth[a] + 1)
    return depth


def _box(name: str, words: str, edges: list[tuple[str, str, bool]]) -> str:
    title, _, what = words.partition(": ")
    text = f"<strong>{escape(title)}</strong>" + (f" {escape(what)}" if what else "")
    for dotted, sign in ((False, "→"), (True, "⇢")):
        aims = [b for a, b, d in edges if a == name and d == dotted]
        text += f"<small>{sign} {', '.join(aims)}</small>" if aims else ""
    return f"<li>{text}</li>"
