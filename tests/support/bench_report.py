"""What the bench found, as JSON, tables and plots."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import matplotlib.pyplot as plt
import torch

from fplbench.machine import hardware

Value = float | int | str | None
Row = dict[str, Value]

STEPS = {
    "case": "Case",
    "method": "Method",
    "clients": "Clients",
    "ms": "ms",
    "plain_ms": "ms, plain",
    "ratio": "Ratio",
    "target": "Target",
    "positions": "Tokens",
    "plain_positions": "Tokens, plain",
    "peak_mib": "MiB",
    "plain_peak_mib": "MiB, plain",
    "matrix_share": "Matrix rate",
    "matrix_share_target": "Target",
}
GROWTH = {
    "of": "Growing",
    "size": "Number",
    "seconds": "Seconds",
    "peak_mib": "Peak MiB",
    "state_mib": "State MiB",
    "clients_at_once": "Clients at once",
}
TRANSPORT = {
    "case": "Case",
    "size": "Threads",
    "ms": "ms",
    "plain_ms": "ms, plain",
    "ratio": "Ratio",
    "target": "Target",
}
FEATURES = {
    "case": "Pictures",
    "size": "Number",
    "decode_ms": "ms, file",
    "transform_ms": "ms, transform",
    "tower_ms": "ms, tower",
    "together_ms": "ms, all together",
    "tower_share": "Tower's share",
}
PROFILE = {"part": "Part", "share": "Share of the time"}
TABLES = {
    "steps": STEPS,
    "towers": STEPS,
    "text": STEPS,
    "transport": TRANSPORT,
    "features": FEATURES,
    "profile": PROFILE,
    "growth": GROWTH,
}
TITLES = {
    "steps": "A local step of one client, among those trained together",
    "towers": "The same of methods that train through the image tower, or have a context for each "
    "image; ViT-B/16, two images a client",
    "text": "Text side alone: one prompt's features and its gradient",
    "transport": "Optimal transport of 140 images, 36 patches, two prompts, 50 classes, on a host",
    "features": "A picture into its feature, once for all methods: each part alone on one thread, "
    "the tower on all, and all of it as it runs",
    "profile": "Where the time of a FedPGP step goes, Pets-shaped, ten clients",
    "growth": "One round of CoOp, one step of 32 images a client",
}


def tables(rows: list[Row]) -> str:
    """All tables as Markdown."""
    parts = []
    for name, columns in TABLES.items():
        chosen = [row for row in rows if row["table"] == name]
        used = {key: title for key, title in columns.items() if any(key in r for r in chosen)}
        if chosen:
            lines = [[shown(key, row.get(key)) for key in used] for row in chosen]
            bars = ["---" if isinstance(chosen[0].get(k), str) else "---:" for k in used]
            body = [list(used.values()), bars, *lines]
            text = "\n".join(f"| {' | '.join(line)} |" for line in body)
            parts.append(f"**{TITLES[name]}**\n\n{text}")
    return "\n\n".join(parts)


def shown(key: str, value: Value) -> str:
    """A cell: shares in percent, three digits for numbers that are measured."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if "share" in key:
        return f"{100 * value:.0f} %"
    if key.endswith("target"):
        return f"{value:g}"
    if isinstance(value, int) or value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def about(backbone: str) -> dict[str, object]:
    """The machine and the versions behind the numbers."""
    here = hardware.hardware(torch.device(_kind()))
    return {
        "backbone": backbone,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "hardware": here | {"threads": here["cores"]},  # what the bench sets
        "versions": hardware.versions(),
    }


def with_earlier(rows: list[Row], folder: Path) -> list[Row]:
    """The rows of a part of the bench among those of an earlier run of the whole.

    A row's two sides are always of one run; only rows that were measured again are replaced.
    """
    path = folder / f"bench-{_kind()}.json"
    earlier: list[Row] = json.loads(path.read_text())["rows"] if path.exists() else []
    new = {_name(row): row for row in rows}
    return [new.pop(_name(row), row) for row in earlier] + list(new.values())


def _name(row: Row) -> tuple[Value, ...]:
    return tuple(row.get(key) for key in ("table", "case", "method", "part", "of", "size"))


def write(rows: list[Row], backbone: str, folder: Path) -> None:
    """bench-DEVICE.json and growth-DEVICE.png, .pdf."""
    folder.mkdir(parents=True, exist_ok=True)
    kind = _kind()
    whole = {**about(backbone), "rows": rows}
    (folder / f"bench-{kind}.json").write_text(json.dumps(whole, indent=1) + "\n")
    growth = [row for row in rows if row["table"] == "growth"]
    if growth:
        _plot(growth, folder / f"growth-{kind}")


def write_docs(rows: list[Row], page: Path) -> None:
    """Put the tables between the page's two marks for this kind of device."""
    begin, end = f"<!-- bench {_kind()} -->", f"<!-- end of bench {_kind()} -->"
    text = page.read_text()
    if begin not in text or end not in text:
        raise ValueError(f"{page} has no {begin} and {end}")
    inner = f"{begin}\n{machine()}\n\n{tables(rows)}\n{end}"
    page.write_text(re.sub(f"{begin}.*{end}", lambda _: inner, text, flags=re.S))


def machine() -> str:
    """One line that names what was measured on."""
    found = hardware.hardware(torch.device(_kind()))
    gpu = f"{found['gpu']}, " if "gpu" in found else ""
    return (
        f"Measured {datetime.now(UTC):%Y-%m-%d} with torch {torch.__version__} on "
        f"{gpu}{found['cpu']}, {found['cores']} cores."
    )


def _kind() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _plot(rows: list[Row], path: Path) -> None:
    names = list(dict.fromkeys(str(row["of"]) for row in rows))
    figure, axes = plt.subplots(
        2, len(names), figsize=(2.6 * len(names), 4.4), squeeze=False, layout="constrained"
    )
    for column, name in enumerate(names):
        chosen = [row for row in rows if row["of"] == name]
        sizes = [row["size"] for row in chosen]
        for line, (key, label) in enumerate((("seconds", "Seconds"), ("peak_mib", "Peak (MiB)"))):
            ax, values = axes[line, column], [float(row[key] or 0) for row in chosen]
            ax.loglog(sizes, values, marker="o", color="#0072B2")
            ax.set_xticks(sizes, [f"{size:,}" for size in sizes])
            ax.set_xticks([], minor=True)
            ax.set_ylim(min(values) / 2, max(2 * max(values), 20 * min(values)))
            ax.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")
            ax.yaxis.set_minor_formatter("")
            ax.set_xlabel(name)
            ax.set_ylabel(label if column == 0 else "")
            ax.grid(alpha=0.3)
    figure.suptitle(TITLES["growth"], fontsize=10)
    for suffix in (".png", ".pdf"):
        figure.savefig(path.with_suffix(suffix), dpi=150)
    plt.close(figure)
