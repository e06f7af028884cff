"""What every method promises the engine."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest
import random_clients as some
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from fplbench import registry
from fplbench.method import Method

FOLDER = Path(registry.__file__).parent / "methods"
SHARED = {
    "zeroshot": set(),
    "coop": set(),
    "promptfl": {"ctx"},
    "fedotp": {"ctx_shared"},
    "pfedprompt": {"ctx"},
    "fedpgp": {"sigma"},
}
PRIVATE = {"coop": {"ctx"}, "fedotp": {"ctx_private"}, "fedpgp": {"U", "V"}}
VARIANTS = {
    "zeroshot": some.method("zeroshot"),
    "coop": some.method("coop"),
    "coop csc": some.method("coop", csc=True),
    "promptfl": some.method("promptfl", position="middle"),
    "promptfl csc prox": some.method("promptfl", csc=True, prox_mu=0.3),
    "fedotp": some.method("fedotp"),
    "fedotp sinkhorn": some.method("fedotp", ot="Sinkhorn"),
    "pfedprompt": some.method("pfedprompt"),
    "fedpgp": some.method("fedpgp", rank=2),
    "fedpgp placeholder": some.method("fedpgp", rank=2, guidance="placeholder"),
    "fedpgp alone": some.method("fedpgp", rank=2, mu=0),
}
TRAINED = {name: variant for name, variant in VARIANTS.items() if name != "zeroshot"}


@pytest.mark.parametrize("name", SHARED)
def test_each_method_shares_what_its_paper_shares(name: str) -> None:
    specs = some.method(name).init(some.task(), torch.Generator())
    assert {n for n, p in specs.items() if p.shared} == SHARED[name]
    assert {n for n, p in specs.items() if not p.shared} == PRIVATE.get(name, set())
    assert all(spec.init == "same" for spec in specs.values())


@pytest.mark.parametrize("name", SHARED)
def test_every_setting_says_where_its_default_comes_from(name: str) -> None:
    for key, field in registry.methods().get(name).Config.model_fields.items():
        assert field.description, f"{name}.{key}"
        assert len(field.description) > 40, f"{name}.{key}"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_a_method_file_imports_the_core_alone(path: Path) -> None:
    allowed = {"__future__", "typing", "torch", "torch.nn.functional", "pydantic"}
    allowed |= {"fplbench.method", "fplbench.prompts"}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert {alias.name for alias in node.names} <= allowed
        if isinstance(node, ast.ImportFrom):
            assert node.module in allowed


@pytest.mark.parametrize("variant", TRAINED.values(), ids=TRAINED.keys())
@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 10_000), client=st.integers(0, 2))
def test_a_client_trains_as_if_it_were_alone(variant: Method, seed: int, client: int) -> None:
    params = some.params(variant, 3, seed)
    batch = some.batch(3, seed=seed)
    mask = torch.rand(3, len(some.CLASSES), generator=torch.Generator().manual_seed(seed)) < 0.5
    mask[torch.arange(3)[:, None], batch.labels] = True
    memory = some.batch(3, seed=seed + 1)
    batch = replace(batch, class_mask=mask, fixed=some.fixed(variant, params, seed, memory))
    terms, grads = some.gradients(variant, params, batch)
    one = slice(client, client + 1)
    alone_terms, alone = some.gradients(variant, some.rows(params, one), some.rows_of(batch, one))
    for name, term in alone_terms.items():
        assert_close(terms[name][one], term, rtol=1e-5, atol=1e-6)
    for name, grad in alone.items():
        scale = float(grad.abs().max())
        assert scale > 0
        assert_close(grads[name][one] / scale, grad / scale, rtol=0, atol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS.keys())
def test_an_answer_depends_on_no_other_client_and_no_other_image(variant: Method) -> None:
    params = some.params(variant, 3)
    batch = some.batch(3, training=False)
    batch = replace(batch, fixed=some.fixed(variant, params, memory=some.batch(3, seed=7)))
    whole = variant.logits(params, variant.encode(params, some.task()), batch, some.task())
    assert whole.shape == (3, 4, len(some.CLASSES))
    for client in range(3):
        one = slice(client, client + 1)
        own = some.rows(params, one)
        text = variant.encode(own, some.task())
        for image in range(int(batch.mask[client].sum())):
            single = some.rows_of(batch, one)
            assert single.patches is not None
            single = replace(
                single,
                mask=single.mask[:, image : image + 1],
                pooled=single.pooled[:, image : image + 1],
                patches=single.patches[:, image : image + 1],
            )
            alone = variant.logits(own, text, single, some.task())
            assert_close(whole[client, image], alone[0, 0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("variant", TRAINED.values(), ids=TRAINED.keys())
def test_rows_without_an_image_change_nothing(variant: Method) -> None:
    params = some.params(variant, 2)
    batch = some.batch(2)
    batch = replace(batch, fixed=some.fixed(variant, params))
    assert batch.patches is not None
    assert batch.labels is not None
    _, before = some.gradients(variant, params, batch)
    hidden = ~batch.mask
    assert hidden.any()
    changed = replace(
        batch,
        pooled=torch.where(hidden[..., None], -batch.pooled, batch.pooled),
        patches=torch.where(hidden[..., None, None], -batch.patches, batch.patches),
        labels=torch.where(hidden, (batch.labels + 1) % len(some.CLASSES), batch.labels),
    )
    _, after = some.gradients(variant, params, changed)
    for name, grad in before.items():
        assert torch.equal(grad, after[name]), name


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


@pytest.mark.parametrize("name", ["promptfl", "fedotp", "pfedprompt", "fedpgp"])
def test_the_shared_prompt_alone_forgets_what_is_private(name: str) -> None:
    method = some.method(name)
    mine, yours = some.params(method, 2, seed=1), some.params(method, 2, seed=2)
    for shared in SHARED[name]:
        yours[shared] = mine[shared]
    batch = some.batch(2, training=False)
    answers = []
    for params in (mine, yours):
        alone = method.shared_only(params)
        assert alone is not None
        text = method.encode(alone, some.task())
        answers.append(method.logits(alone, text, batch, some.task()))
    assert torch.equal(*answers)


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
