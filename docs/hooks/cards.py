"""A card for each method and each data set of the registry.

Facts come from the class, words from the pages of docs/ that have them, cost from the reference
results. A plug-in that those pages leave out stops the build.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from mkdocs.exceptions import PluginError
from rich.filesize import decimal

from fplbench.data.on_disk import OnDisk
from fplbench.dataset import Dataset
from fplbench.method import Method
from fplbench.plugins import registry
from fplbench.plugins.registry import BUILT_IN, Found
from fplbench.records.results import load_results

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
REFERENCE = ROOT / "results" / "reference"
TOWERS = "Methods that change the image tower"


def pages() -> dict[str, str]:
    """Page of the site -> its text."""
    methods, datasets = built_in(registry.methods()), built_in(registry.datasets())
    text, costs = (DOCS / "methods.md").read_text(), reference_costs()
    made = {"method/index.md": methods_index(methods, text, costs)}
    for name, cls in methods.items():
        made[f"method/{name}.md"] = method_card(cls, text, costs.get(name))
    made["data/index.md"] = data_index(datasets)
    for name, data in datasets.items():
        made[f"data/{name}.md"] = data_card(data)
    return made


def built_in(found: Found[Any]) -> dict[str, Any]:
    """Those of the project that are whole by their name alone (folder:PATH is not)."""
    return {
        name: cls
        for name, cls in found.classes.items()
        if found.origins[name] == BUILT_IN and not cls.wants
    }


def method_card(cls: type[Method], text: str, costs: pd.DataFrame | None) -> str:
    shared, stays, trained, _ = row(text, cls.name)
    what, level = section(text, cls.name)
    facts = {
        "Paper": cls.source,
        "Code read": "; ".join(each for each, _ in origins(text, cls.name)) or "none",
        "Numbers held to": held(text, cls.name),
        "Sent each round": shared,
        "Stays on the client": stays,
        "Trained with": trained,
        "Reads of an image": ", ".join(sorted(cls(cls.Config()).inputs)),
    }
    towers = f" What it shares with others: [{TOWERS}](../methods.md#{anchor(TOWERS)})."
    parts = [
        f"# {cls.title}",
        table(["", ""], facts.items()),
        f"    fplbench run --methods {cls.name} --datasets digits\n"
        f"    fplbench exam {cls.name}      # does it keep the contract?",
        "## Equations, what travels, deviations",
        f"{what}\n\n{towers.strip() if level == 3 else ''}",
        "## Settings",
        settings(cls),
        "## Cost",
        cost(costs),
    ]
    return "\n\n".join(parts) + "\n"


def row(text: str, name: str) -> list[str]:
    """The cells behind a name in the first table of a page that has it."""
    found = re.search(rf"^\| `{re.escape(name)}` \| (.*)\|$", text, re.MULTILINE)
    if found is None:
        raise PluginError(f"The docs have no line for {name} in the first table of their kind.")
    return [cell.strip() for cell in found[1].split(" | ")]


def section(text: str, name: str) -> tuple[str, int]:
    """What methods.md says of a method below its heading, and that heading's level."""
    found = re.search(rf"^(##|###) {re.escape(name)}\n", text, re.MULTILINE)
    if found is None:
        raise PluginError(f"docs/methods.md has no section {name}: write one.")
    level = len(found[1])  # a method's own subsections are ### below a ##
    end = re.compile(rf"^#{{2,{level}}} ", re.MULTILINE).search(text, found.end())
    return moved(text[found.end() : end.start() if end else None].strip()), level


def moved(text: str) -> str:
    """With links that work one folder further down."""
    return re.sub(r"\]\((?=[\w-]+\.(?:md|png))", "](../", text)


def anchor(heading: str) -> str:
    return heading.lower().replace(" ", "-")


def origins(text: str, name: str) -> list[tuple[str, str]]:
    """The code that was read for a method, with its licence, and whether it is held to it."""
    part = text.split("\n## Whose code\n", 1)[-1].split("\n## ", 1)[0]
    found = re.findall(r"^\| (\S+/\S+) \| (\w+) \| ([^|]+) \|([^|]*)\|([^|]*)\|$", part, re.M)
    return [
        (f"{code} at {commit} (licence: {licence})", "held" if f"`{name}`" in held else "read")
        for code, commit, licence, held, read in found
        if f"`{name}`" in f"{held} {read}"
    ]


def held(text: str, name: str) -> str:
    """What the method's numbers are compared with, and how near they come."""
    parity = row(text, name)[3]
    where = [code for code, kind in origins(text, name) if kind == "held"]
    if not re.match(r"\d+ cases?", parity):
        return {"": "its equation alone"}.get(parity, parity)
    if not where:
        raise PluginError(f'docs/methods.md names no code for {name}: add it to "Whose code".')
    return f"those of that code: {parity}"


def settings(cls: type[Method]) -> str:
    fields = cls.Config.model_fields
    if not fields:
        return "None."
    rows = (
        (f"`{key}`", f"`{field.default!r}`".replace("|", "\\|"), field.description or "")
        for key, field in fields.items()
    )
    return table(["`--set` name", "default", "what it is, and whose value"], rows)


def cost(costs: pd.DataFrame | None) -> str:
    """Of the reference results; both are for one round."""
    if costs is None:
        return "The method is not in the reference results yet."
    rows = (
        (
            f"`{data}`",
            f"{cells['trainable_parameters'].max():,.0f}",
            *(decimal(int(cells[key].mean())) for key in ("up", "down")),
            f"{1000 * cells['seconds_round'].median():,.0f} ms",
        )
        for data, cells in costs.groupby("dataset")
    )
    machine = ", ".join(sorted(set(costs["hardware"])))
    return (
        table(["data", "trained on a client", "up a client", "down a client", "time"], rows)
        + f"\n\nFor one round, in the [reference results](../reference-results.md): bytes of the "
        "tensors sent, the median time in which all clients train. The tiny backbone's width is "
        f"96; sizes grow with d and D. Machine: {machine}."
    )


def reference_costs() -> dict[str, pd.DataFrame]:
    """Method -> its cells of the reference, with bytes for a client and round."""
    cells = load_results(REFERENCE).drop_duplicates("id")
    cells = cells[cells["status"] == "done"]
    visits = cells["train.rounds"] * cells["clients"] * cells["train.participation"]
    cells = cells.assign(up=cells["up_bytes"] / visits, down=cells["down_bytes"] / visits)
    return {str(name): part for name, part in cells.groupby("method")}


def methods_index(methods: dict[str, type[Method]], text: str, costs: dict[str, Any]) -> str:
    rows = []
    for name, cls in methods.items():
        shared, _, _, parity = row(text, name)
        up = decimal(int(costs[name]["up"].mean())) if name in costs else ""
        rows.append((f"[{cls.title}]({name}.md)", shared, up, parity))
    return (
        "# Methods\n\nA card for each: its equations, what it sends, how near it comes to its "
        "authors' numbers, where it differs on purpose, and what it costs. "
        "[The methods on one page](../methods.md) has what all share, and the strategies.\n\n"
        + table(["method", "sent each round", "bytes up", "held to the authors' numbers"], rows)
        + "\n\nBytes up: of a client, each round, in the "
        "[reference results](../reference-results.md) (tiny backbone).\n"
    )


def data_card(cls: type[Dataset]) -> str:
    facts = {"Scenario if none is named": f"`{registry.usual(cls, registry.scenarios())}`"}
    if issubclass(cls, OnDisk):
        facts |= dict(on_disk(cls))
        title, how = cls.title, f"    fplbench data verify {cls.name}\n"
    else:
        facts |= dict(embedded(cls))
        title, how = cls.name, f"    fplbench data show {cls.name}\n"
    return (
        f"# {title}\n\n{cls.summary[0].upper()}{cls.summary[1:]}.\n\n"
        f"{table(['', ''], facts.items())}\n\n{how}"
        f"    fplbench run --methods zeroshot,promptfl --datasets {cls.name}\n\n"
        "[How data sets are looked for, read and checked](../datasets.md)\n"
    )


def on_disk(cls: type[OnDisk]) -> Iterator[tuple[str, str]]:
    classes, images, splits, templates, _ = row((DOCS / "datasets.md").read_text(), cls.name)
    yield "Source", linked(cls.source)
    yield "Licence", cls.licence
    yield "Classes", classes
    yield "Images", images
    if cls.domain_images:
        yield "of each domain", ", ".join(f"{k} {n:,}" for k, n in cls.domain_images.items())
    yield "Training + test images", splits
    yield "Prompt", templates
    yield "Looked for in", ", ".join(dict.fromkeys(f"`{each.folder}`" for each in cls.layouts))
    if cls.zhou:
        yield "Split file used", f"`{cls.zhou}`"
    yield "To get it", f"`fplbench data download {cls.name}`" if cls.downloads else cls.by_hand
    if cls.size:
        yield "Download", decimal(cls.size)


def embedded(cls: type[Dataset]) -> Iterator[tuple[str, str]]:
    classes, images, licence = row((DOCS / "embedded.md").read_text(), cls.name)
    yield "Source", cls.source or "rendered by fplbench"
    yield "Licence", licence
    yield "Classes", classes
    yield "Training + test images", images
    yield "To get it", "nothing: it comes with fplbench"


def linked(text: str) -> str:
    return re.sub(r"https?://[^\s;,]+[^\s;,.]", r"<\g<0>>", text)


def data_index(datasets: dict[str, type[Dataset]]) -> str:
    rows = [
        (
            f"[{getattr(cls, 'title', name)}]({name}.md)",
            cls.summary,
            f"`{registry.usual(cls, registry.scenarios())}`",
        )
        for name, cls in datasets.items()
    ]
    return (
        "# Data sets\n\nA card for each, with source, licence and counts. "
        "[Data sets](../datasets.md) says how they are looked for and checked, and how to use "
        "pictures of your own.\n\n" + table(["data set", "what it is", "scenario"], rows) + "\n"
    )


def table(heads: list[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
