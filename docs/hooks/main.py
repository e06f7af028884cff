"""What the docs site has beyond the pages of docs/: made when it is built, never committed.

mkdocs calls the functions whose names begin with on_.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import api
import cards
import reference
import rooms
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
# Pages at the root of the repository -> where they stand on the site.
AT_THE_ROOT = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changes.md"}
# Targets of links out of docs/ -> the page of the site that says the same.
ELSEWHERE = {"README.md": "index.md", "results/reference/README.md": "reference-results.md"}


def on_config(config: MkDocsConfig) -> None:
    fence = {"name": "mermaid", "class": "rooms", "format": rooms.drawn}
    config.mdx_configs["pymdownx.superfences"] = {"custom_fences": [fence]}


def on_files(files: Files, config: MkDocsConfig) -> None:
    made = {**cards.pages(), **api.pages(), **at_the_root()}
    for name, text in made.items():
        files.append(File.generated(config, name, content=text))
    files.append(File.generated(config, reference.PAGE, content=reference.page()))
    config.nav = list(spread(config.nav or [], list(made)))


def at_the_root() -> dict[str, str]:
    """Page of the site -> its text, with links that work there."""
    return {
        page: (ROOT / name).read_text().replace("](docs/", "](")
        for name, page in AT_THE_ROOT.items()
    }


def spread(nav: list[Any], made: list[str]) -> Iterator[Any]:
    """The nav with "NAME/*" replaced by the pages made in that folder, its index left out."""
    for item in nav:
        if isinstance(item, dict):
            yield {
                title: list(spread(inside, made)) if isinstance(inside, list) else inside
                for title, inside in item.items()
            }
        elif item.endswith("/*"):
            folder = item.removesuffix("*")
            yield from (n for n in made if n.startswith(folder) and not n.endswith("index.md"))
        else:
            yield item


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """A link out of docs/ leads to the page that stands for it, or is its words alone."""
    if "/" in page.file.src_uri:  # made here, one folder down
        return markdown
    return re.sub(r"\[([^\]]+)\]\(\.\./([\w./-]+\.md)\)", _inside, markdown)


def _inside(link: re.Match[str]) -> str:
    page = (ELSEWHERE | AT_THE_ROOT).get(link[2])
    return f"[{link[1]}]({page})" if page else link[1]


def on_page_content(html: str, **_: Any) -> str:
    """A flag in a line of text is not broken after its first hyphen, as browsers would."""
    return re.sub(r"(?<=<code>)[^<\n]+(?=</code>)", _flags, html)


def _flags(code: re.Match[str]) -> str:
    return re.sub(r"(?<![\w-])--?[a-z][\w-]*", r'<span class="flag">\g<0></span>', code[0])
