"""The docs site: it builds strictly, its links lead somewhere, and it loads nothing from elsewhere.

One build serves all tests here; it takes about ten seconds.
"""

from __future__ import annotations

import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from facts import on_disk

from fplbench.datasets import shapes, shapes_domains
from fplbench.plugins import registry

ROOT = Path(__file__).parents[1]
SHIM = "e8e412dbcfea9b7e31b5ffa288d7b6035915e714c542f4176a0cdbe262fc9609"
LOADED = {("script", "src"), ("img", "src"), ("iframe", "src"), ("link", "href")}


class Page(HTMLParser):
    """What a page links to and loads, and what can be linked to in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value is None:
                continue
            if name == "id" or (tag == "a" and name == "name"):
                self.anchors.add(value)
            if (tag, name) == ("a", "href"):
                self.links.append(value)
            if (tag, name) in LOADED and ("rel", "canonical") not in attrs:
                self.loaded.append(value)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs", reason="pip install -e .[docs]")
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    out = tmp_path_factory.mktemp("site")
    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(out), strict=True))
    return out


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    """All but the report, whose own tests look at it, and the page for what is not there."""
    files = set(site.rglob("*.html")) - {site / "reference" / "report.html", site / "404.html"}
    return {file: Page(file.read_text()) for file in files}


def test_every_link_leads_to_a_page_and_a_place_on_it(pages: dict[Path, Page]) -> None:
    wrong, seen = [], 0
    for file, page in pages.items():
        for link in page.links + page.loaded:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            aim = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            seen += 1
            there = aim.is_file()
            if there and parts.fragment and aim in pages:
                there = unquote(parts.fragment) in pages[aim].anchors
            if not there:
                wrong.append(f"{file.name}: {link}")
    assert seen > 1000
    assert wrong == []


def test_nothing_is_loaded_from_elsewhere(site: Path, pages: dict[Path, Page]) -> None:
    assert [url for page in pages.values() for url in page.loaded if "//" in url] == []
    for sheet in site.rglob("*.css"):
        assert re.findall(r"url\(\s*['\"]?https?:", sheet.read_text()) == []
    # Material fetches mermaid for such an element alone.
    assert [f.name for f in pages if 'class="mermaid"' in f.read_text()] == []


def test_every_method_and_data_set_has_a_card(site: Path) -> None:
    for name, cls in registry.methods().classes.items():
        card = (site / "method" / f"{name}.html").read_text()
        for word in (cls.title, "Numbers held to", "Sent each round", "Settings", "Cost"):
            assert word in card
    for data in on_disk():
        card = (site / "data" / f"{data.name}.html").read_text()
        assert data.licence in card
        assert '<a href="../datasets.html">How data sets' in card


def test_the_embedded_data_sets_are_as_large_as_is_said(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "embedded.md").read_text()
    digits = registry.datasets().get("digits")().load(None, tmp_path)
    counts = {"digits": (len(digits.classnames), len(digits.train.labels), len(digits.test.labels))}
    for recipe in (shapes.RECIPE, shapes_domains.RECIPE):
        of_class = len(recipe.styles)
        sizes = (len(recipe.classes) * of_class * n for n in (recipe.train, recipe.test))
        counts[recipe.name] = (len(recipe.classes), *sizes)
    for name, (classes, train, test) in counts.items():
        assert f"| `{name}` | {classes} | {train:,} + {test:,} |" in page


def test_lists_are_lists(pages: dict[Path, Page]) -> None:
    """Python-Markdown wants an empty line before a list, which GitHub does not."""
    for file in pages:
        inside = re.findall(r"<p>(.*?)</p>", file.read_text(), re.DOTALL)
        assert [text for text in inside if re.search(r"\n- ", text)] == [], file.name


def test_the_script_for_search_from_a_disk_is_npms(site: Path) -> None:
    """iframe-worker 1.0.4, MIT, `npm pack iframe-worker`: its shim/index.js, byte for byte."""
    shim = site / "assets" / "iframe-worker" / "shim.js"
    assert hashlib.sha256(shim.read_bytes()).hexdigest() == SHIM
    assert "shim.js" in (site / "index.html").read_text()
