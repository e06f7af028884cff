"""What the built-in methods promise beside the contract, which tests/contract tries."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from pathlib import Path

import pytest
import random_clients as some
import torch
from torch.testing import assert_close

from fplbench.method import Method
from fplbench.plugins import registry

FOLDER = Path(registry.__file__).parents[1] / "methods"
PAGE = Path(__file__).parents[2] / "docs" / "methods.md"
README = Path(__file__).parents[2] / "README.md"
METHODS = registry.methods().classes


@pytest.mark.parametrize("name", METHODS)
def test_each_method_shares_what_the_docs_say_that_its_paper_shares(name: str) -> None:
    row = re.search(rf"^\| `{name}` \|(.*?)\|(.*?)\|", PAGE.read_text(), re.MULTILINE)
    assert row, f"docs/methods.md has no row for {name}"
    sent, kept = (set(re.findall(r"`(\w+)`", cell)) for cell in row.groups())
    specs = some.method(name).init(some.task(), torch.Generator())
    assert {n for n, p in specs.items() if p.shared} == sent
    assert {n for n, p in specs.items() if not p.shared} == kept
    assert all(spec.init == "same" for spec in specs.values() if spec.trained)


def test_the_readme_lists_what_the_registry_finds() -> None:
    section = README.read_text().split("## What is here")[1].split("\n## ")[0]
    _, methods, strategies = section.split("\n\n", 2)
    listed = [re.findall(r"`([\w-]+)`", text.partition("): ")[2]) for text in (methods, strategies)]
    assert listed == [list(METHODS), list(registry.strategies().classes)]


def test_the_page_has_a_row_for_each_strategy() -> None:
    table = PAGE.read_text().split("## How they travel")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `([\w-]+)` \|", table, re.MULTILINE)
    assert sorted(rows) == list(registry.strategies().classes)


@pytest.mark.parametrize("name", METHODS)
def test_every_setting_says_where_its_default_comes_from(name: str) -> None:
    for key, field in METHODS[name].Config.model_fields.items():
        assert field.description, f"{name}.{key}"
        assert len(field.description) > 40, f"{name}.{key}"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_a_method_file_imports_the_core_alone(path: Path) -> None:
    allowed = {"__future__", "typing", "torch", "torch.nn.functional", "pydantic"}
    allowed |= {"collections.abc", "math", "fplbench.clip.layers"}
    allowed |= {"fplbench.method", "fplbench.prompts", "fplbench.transport"}
    allowed |= {"fplbench.errors", "fplbench.plugins.files"}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert {alias.name for alias in node.names} <= allowed
        if isinstance(node, ast.ImportFrom):
            assert node.module in allowed or str(node.module).startswith("fplbench.methods.")


@pytest.mark.parametrize(
    "variant",
    [
        some.method("coop"),
        some.method("promptfl"),
        some.method("fedpgp", mu=0),
        some.method("fedotp", thresh=0, max_iter=10),
    ],
    ids=lambda method: method.name,
)
def test_a_class_mask_is_a_shorter_class_list(variant: Method) -> None:
    few = [0, 2, 3]
    params = some.params(variant, 2)
    batch = some.batch(2)
    positions = torch.tensor([[0, 1, 2, 1], [2, 0, 1, 2]])
    mask = torch.zeros(2, len(some.CLASSES), dtype=torch.bool)
    mask[:, few] = True
    masked = replace(batch, labels=torch.tensor(few)[positions], class_mask=mask)
    short = some.task(tuple(some.CLASSES[k] for k in few))
    found = variant.losses(params, masked, some.task())["ce"]
    expected = variant.losses(params, replace(batch, labels=positions), short)["ce"]
    assert_close(found, expected)


def test_local_coop_has_no_shared_prompt() -> None:
    coop = some.method("coop")
    assert coop.shared_only(some.params(coop, 2)) is None


@pytest.mark.parametrize("name", ["coop", "promptfl"])
def test_class_specific_contexts_say_nothing_about_other_classes(name: str) -> None:
    unified, specific = some.method(name), some.method(name, csc=True)
    for method in (unified, specific):
        assert method.supports(some.task(), "base", some.task())
    assert unified.supports(some.task(some.OTHER_CLASSES), "novel", some.task())
    assert not specific.supports(some.task(some.OTHER_CLASSES), "novel", some.task())
    assert not specific.supports(some.task(some.CLASSES[::-1]), "base", some.task())
