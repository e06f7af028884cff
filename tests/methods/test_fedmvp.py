"""FedMVP against torch's own layers, image by image, and what its file of descriptions may say."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import random_clients as some
import torch
import torch.nn.functional as F
from command_line import call
from torch import Tensor, nn
from torch.testing import assert_close

from fplbench.clip.task import PromptTask
from fplbench.clip.vision import ImageTower
from fplbench.errors import UserError
from fplbench.method import Batch, Tensors

TEXTS = {
    "cat": ["whiskers", "a long tail", "often asleep"],
    "boeing 747": ["four engines"],
    "forget_me_not": ["has five petals", "blue flowers"],
    "sphynx": ["no fur"],
    "sword-lily": ["used in bouquets"],
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "texts.json"
    path.write_text(json.dumps(TEXTS))
    return path


def batch(clients: int) -> Batch:
    noise = torch.Generator().manual_seed(3)
    plain = some.batch(clients)
    shape, width = plain.mask.shape, some.task().image_width
    return replace(
        plain,
        embedded=torch.randn(*shape, 1 + 16, width, generator=noise),
        mirrored=F.normalize(torch.randn(plain.pooled.shape, generator=noise), dim=-1),
        clients=torch.arange(clients),
        generator=lambda purpose, client, step: torch.Generator().manual_seed(client),
    )


def test_attributes_stand_behind_the_name_as_published(file: Path) -> None:
    told = some.method("fedmvp", descriptions=str(file)).sentences(some.task())  # type: ignore[attr-defined]
    assert told[0] == [
        "a photo of a cat, which has whiskers",
        "a photo of a cat, which is a long tail",
        "a photo of a cat, which often asleep",
    ]
    assert told[2][0] == "a photo of a forget me not, which has five petals"
    assert told[4] == ["a photo of a sword-lily, which is used in bouquets"]


def test_sentences_are_taken_as_they_are_and_classes_may_have_differently_many(
    tmp_path: Path,
) -> None:
    path = tmp_path / "texts.json"
    path.write_text(json.dumps({name: ["{}, seen from afar."] * n for n, name in TEXTS_BY_NUMBER}))
    method = some.method("fedmvp", descriptions=str(path), wording="sentences")
    features, shares = method.described(some.task())  # type: ignore[attr-defined]
    assert shares.shape == (5, 1 + 2 + 3 + 4 + 5)
    assert_close(shares.sum(1), torch.ones(5))
    found = F.normalize(
        some.task().encode_texts([f"{name}, seen from afar." for name in NAMES]), dim=-1
    )
    assert_close(shares @ features, found)


def test_each_class_is_described_by_the_templates_of_its_own_data_set() -> None:
    clip = some.backbone()
    own = [("a {}.",), ("{} texture.", "a photo of {}.")]
    task = PromptTask(clip.text, ("cat", "sea_ice"), ("?",), clip.logit_scale, own_templates=own)
    told = some.method("fedmvp").sentences(task)  # type: ignore[attr-defined]
    assert told == [["a cat."], ["sea ice texture.", "a photo of sea ice."]]


NAMES = [name.replace("_", " ") for name in some.CLASSES]
TEXTS_BY_NUMBER = list(enumerate(some.CLASSES, start=1))


@pytest.mark.parametrize("wanted", ["templates", "file"])
def test_a_step_is_the_plain_one_of_each_image(wanted: str, file: Path) -> None:
    settings = {} if wanted == "templates" else {"descriptions": str(file)}
    method, task = some.method("fedmvp", **settings), some.task()
    params, given = some.params(method, 2), batch(2)
    mask = torch.tensor([[True] * 5, [True, False, True, True, False]])
    kept = torch.tensor([0, 2, 3])
    labels = torch.stack([given.labels[0], kept[given.labels[1] % 3]])  # type: ignore[index]
    fixed = method.prepare(params, {}, task)
    given = replace(given, fixed=fixed, labels=labels, class_mask=mask)
    terms = method.losses(params, given, task)
    for c in range(2):
        ce, near = plain(
            {name: t[c] for name, t in params.items()},
            given,
            c,
            method.sentences(task),  # type: ignore[attr-defined]
        )
        assert_close(terms["ce"][c], ce, rtol=1e-4, atol=1e-5)
        assert_close(terms["consistency"][c], 10 * near, rtol=1e-4, atol=1e-5)


def plain(p: Tensors, given: Batch, c: int, texts: list[list[str]]) -> tuple[Tensor, Tensor]:
    """Cross-entropy and consistency of a client, with torch's modules and a loop over images."""
    task, w = some.task(), some.task().image_width
    attention = nn.MultiheadAttention(w, 4, batch_first=True)
    weights = {"in_proj_weight": "qkv", "in_proj_bias": "qkv_bias", "out_proj.weight": "out"}
    weights["out_proj.bias"] = "out_bias"
    attention.load_state_dict({theirs: p[ours] for theirs, ours in weights.items()})
    assert given.class_mask is not None
    assert given.labels is not None
    assert given.embedded is not None
    assert given.mirrored is not None
    own = [k for k in range(len(texts)) if given.class_mask[c, k]]
    features = [F.normalize(task.encode_texts(texts[k]), dim=-1) for k in own]
    context = torch.cat(features) @ p["linear"].T + p["linear_bias"]
    keys = F.layer_norm(context, [w], p["norm_context"], p["norm_context_bias"])
    flipped = torch.rand((), generator=torch.Generator().manual_seed(c)) < 0.5
    losses, distances = [], []
    for b in range(int(given.mask[c].sum())):
        patches = given.embedded[c, b, 1:]
        asked = F.layer_norm(patches, [w], p["norm"], p["norm_bias"])
        a, _ = attention(asked[None], keys[None], context[None])
        z = F.layer_norm(a[0], [w], p["ff_norm"], p["ff_norm_bias"]) @ p["ff_w1"].T + p["ff_b1"]
        first, gate = z.chunk(2, dim=-1)
        x = (first * F.gelu(gate)) @ p["ff_w2"].T + p["ff_b2"] + a[0]
        prompts = x.unflatten(0, (4, 4)).mean(1)  # 16 patches
        tower = ImageTower(some.backbone().visual)
        v = tower.encode(given.embedded[c : c + 1, b : b + 1], prompts[None, None]).flatten()
        v = F.normalize(v, dim=0)
        scores = torch.stack([(task.logit_scale * f @ v).mean() for f in features])
        losses.append(-scores.log_softmax(0)[own.index(int(given.labels[c, b]))])
        other = given.mirrored if flipped else given.pooled
        distances.append(1 - v @ other[c, b])
    return torch.stack(losses).mean(), torch.stack(distances).mean()


def test_descriptions_of_other_classes_are_asked_for_by_name(file: Path) -> None:
    method = some.method("fedmvp", descriptions=str(file))
    params = some.params(method, 1)
    with pytest.raises(UserError, match=r"texts\.json has no list of texts for the class 'bird of"):
        method.encode(params, some.task(some.OTHER_CLASSES))


def test_heads_must_divide_the_towers_width() -> None:
    with pytest.raises(UserError, match="heads is 3, which does not divide"):
        some.params(some.method("fedmvp", heads=3), 1)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "is no JSON"),
        ("[]", "is no JSON object: write {class name: [text, ...]} into it"),
        ('{"cat": "whiskers"}', "has no list of texts for the class 'cat'"),
        ('{"cat": []}', "has no list of texts for the class 'cat'"),
        ('{"cat": [1]}', "has no list of texts for the class 'cat'"),
    ],
)
def test_a_file_of_another_form_is_refused(content: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(content)
    with pytest.raises(UserError) as caught:
        some.params(some.method("fedmvp", descriptions=str(path)), 1)
    assert str(caught.value).startswith(str(path))
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "cannot be read from"),
        ('{"zero": ["round"]}', "has no list of texts for the class 'one'"),
    ],
)
def test_a_file_that_does_not_do_ends_the_command_before_anything_is_trained(
    content: str | None,
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, out = tmp_path / "mine.json", tmp_path / "out"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv("FPLBENCH_CACHE", str(tmp_path / "cache"))
    command = ["run", "--methods", "fedmvp", "--datasets", "digits", "--seeds", "0"]
    command += ["--clients", "2", "--shots", "2", "--rounds", "1", "--out", str(out)]
    command += ["--set", f"fedmvp.descriptions={path}"]
    code, _, err = call(command, monkeypatch, capsys)
    assert (code, str(path) in err) == (2, True)
    assert sentence in " ".join(err.split())
    assert not list(out.rglob("record.json"))
