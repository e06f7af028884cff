"""Pages of the API: what a plug-in or a notebook imports, with the docstrings of the code."""

from __future__ import annotations

# File -> its title, the modules on it, and what they are for.
PAGES = {
    "results": ("Results", ["fplbench.records.results"], "reads records into pandas tables"),
    "method": ("Method", ["fplbench.method", "fplbench.prompts"], "what is learned"),
    "strategy": ("Strategy", ["fplbench.strategy"], "how it travels"),
    "scenario": ("Scenario", ["fplbench.scenario"], "who holds what, and what is asked"),
    "dataset": (
        "Data set",
        ["fplbench.dataset", "fplbench.data.on_disk", "fplbench.data.splits"],
        "images, labels and their facts",
    ),
    "measure": ("Metric", ["fplbench.plugins.measure"], "what becomes of answers"),
    "format": ("Format", ["fplbench.plugins.format"], "a kind of file for tables"),
    "executor": ("Executor", ["fplbench.plugins.executor"], "where cells are computed"),
    "plugin": (
        "Plug-ins",
        ["fplbench.plugins.base", "fplbench.plugins.registry", "fplbench.plugins.files"],
        "what all kinds have in common, and where they are found",
    ),
    "spec": ("Request and cell", ["fplbench.spec", "fplbench.errors"], "what a run is asked for"),
}


def pages() -> dict[str, str]:
    """Page of the site -> its text."""
    rows = "\n".join(
        f"| [{title}]({name}.md) | {what} | {', '.join(f'`{each}`' for each in modules)} |"
        for name, (title, modules, what) in PAGES.items()
    )
    made = {
        "api/index.md": "# API\n\nWhat a notebook or a plug-in imports. The guides show how it is "
        "used: [a method](../adding-a-method.md), [a scenario](../adding-a-scenario.md), "
        "[a metric](../adding-a-metric.md), [a data set](../datasets.md). Everything else is the "
        "core's own and may move.\n\n"
        f"| page | what it is | import |\n| --- | --- | --- |\n{rows}\n"
    }
    for name, (title, modules, what) in PAGES.items():
        body = "\n\n".join(f"::: {module}" for module in modules)
        made[f"api/{name}.md"] = f"# {title}\n\n{what.capitalize()}.\n\n{body}\n"
    return made
