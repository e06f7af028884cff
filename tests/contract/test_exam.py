"""Every method and strategy passes its exam; who breaks a promise is told which."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import call
from every_hook import EveryHook

from fplbench.contract.exam import CHECKS, examine, judge
from fplbench.contract.room import Candidate, candidates
from fplbench.method import Method
from fplbench.plugins import registry

KINDS = [*registry.methods().classes.values(), *registry.strategies().classes.values()]
EVERY = [each for kind in KINDS for each in candidates(kind)]


def named(candidate: Candidate) -> str:
    words = [candidate.kind.name, *candidate.variant.split()]
    return " ".join([*words, *([candidate.learner.name] if candidate.learner else [])])


@pytest.mark.parametrize("candidate", [*EVERY, *candidates(EveryHook)], ids=named)
@pytest.mark.parametrize("name", CHECKS)
def test_a_method_keeps_its_promise(candidate: Candidate, name: str) -> None:
    verdict = judge(candidate, CHECKS[name])
    assert verdict.outcome != "failed", verdict.why


PLUGIN = """\
from dataclasses import replace
import torch
import torch.nn.functional as F
from fplbench.method import Method, Param, Settings, cross_entropy
from fplbench.prompts import cosine_logits, text_features


class Mine(Method):
    name = "mine"
    title = "A prompt and a scale for each class"
    source = "a test"

    def init(self, task, generator):
        ctx = 0.02 * torch.randn(2, task.width, generator=generator)
        return {"ctx": Param(ctx), "own": Param(torch.ones(1), shared=False)}

    def encode(self, params, task):
        return {"t": text_features(params["ctx"], task, "end")}

    def logits(self, params, text, batch, task):
        return params["own"][:, None] * cosine_logits(batch.pooled, text["t"], task)

    def losses(self, params, batch, task):
        logits = self.logits(params, self.encode(params, task), batch, task)
        return {"ce": cross_entropy(logits, batch)}

    def shared_only(self, params):
        return params | {"own": torch.ones_like(params["own"])}
"""

FAULTS = {
    "uses the mean over clients": (
        'text_features(params["ctx"], task',
        'text_features(params["ctx"] - params["ctx"].mean(0), task',
        "alone",
        "something mixes rows of the client axis, such as a mean over it.",
    ),
    "takes the mean over all rows": (
        "cross_entropy(logits, batch)}",
        'F.cross_entropy(logits.mT, batch.labels, reduction="none").mean(1)}',
        "mask",
        "leave them out by batch.mask, as masked_mean does.",
    ),
    "centres the images of a batch": (
        "cosine_logits(batch.pooled",
        "cosine_logits(batch.pooled - (not batch.training) * batch.pooled.mean(1, True)",
        "images",
        "in evaluation each image is answered by itself.",
    ),
    "remembers the class list": (
        "        ctx = 0.02 * torch.randn(2, task.width",
        "        self.seen = task.classnames\n        ctx = 0.02 * torch.randn(2, task.width",
        "state",
        "self.seen changes while hooks are called: return it from memory or prepare",
    ),
    "counts its calls elsewhere": (
        "        logits = self.logits",
        "        CALLS.append(1)\n        params = params | {'own': params['own'] * len(CALLS)}\n"
        "        logits = self.logits",
        "state",
        "a hook remembers something, or draws at random without r.generator.",
    ),
    "learns from being asked": (
        '        return params["own"]',
        "        CALLS.extend([] if batch.training else [1])\n"
        '        return (1 + len(CALLS)) * params["own"]',
        "evaluation",
        "is another when there was an evaluation between the rounds.",
    ),
    "leaves a tensor on the host": (
        'cosine_logits(batch.pooled, text["t"], task)',
        'cosine_logits(batch.pooled, text["t"], task) + torch.ones(len(task.classnames))',
        "device",
        "aten::add is given a tensor on the host beside one on the device; make it there, with "
        "device= (mine.py, line 24).",
    ),
    "rounds on the way": (
        "cross_entropy(logits, batch)",
        "cross_entropy(logits.float(), batch)",
        "precision",
        "comes out as torch.float32: keep the dtype.",
    ),
    "draws as it likes": (
        "torch.randn(2, task.width, generator=generator)",
        "torch.randn(2, task.width)",
        "start",
        "pass generator= to whatever draws.",
    ),
    "writes into its images": (
        '        return params["own"]',
        '        batch.pooled.mul_(0.99)\n        return params["own"]',
        "untouched",
        "batch.pooled is written into by a hook that was only given it",
    ),
    "cuts a gradient": (
        'params["own"][:, None]',
        'params["own"].detach()[:, None]',
        "gradients",
        "'own' is trained, but a client has no gradient of it",
    ),
    "shows what is private": (
        'torch.ones_like(params["own"])}',
        'params["own"]}',
        "shared_prompt",
        "change with a client's private tensors",
    ),
    "forgets an image": (
        '        return params["own"]',
        '        batch = replace(batch, pooled=batch.pooled[:, :-1])\n        return params["own"]',
        "shapes",
        "logits have the shape [3, 3, 5], but [C, B, K] is [3, 4, 5].",
    ),
    "takes row c for client c": (
        '        return {"ce"',
        "        logits = logits * (1 + torch.arange(len(logits))[:, None, None])\n"
        '        return {"ce"',
        "chunks",
        "a hook mixes clients, or takes row c for client c.",
    ),
}


def plugin(folder: Path, text: str) -> type[Method]:
    (folder / "mine.py").write_text(text)
    return registry.methods([folder]).get("mine")


def test_a_plugin_without_a_fault_passes(tmp_path: Path) -> None:
    assert {each.outcome for each in examine(plugin(tmp_path, PLUGIN))} == {"passed"}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_by_the_check_that_is_meant_for_it(tmp_path: Path, fault: str) -> None:
    right, wrong, check, sentence = FAULTS[fault]
    assert PLUGIN.count(right) == 1
    text = PLUGIN.replace(right, wrong).replace("\n\nclass", "\n\nCALLS = []\n\n\nclass")
    verdict = judge(Candidate(plugin(tmp_path, text)), CHECKS[check])
    assert verdict.outcome == "failed"
    assert sentence in verdict.why


def test_the_command_says_what_failed_and_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    right, wrong, check, sentence = FAULTS["uses the mean over clients"]
    plugin(tmp_path, PLUGIN.replace(right, wrong))
    code, printed, _ = call(["exam", "mine", "--plugins", str(tmp_path)], monkeypatch, capsys)
    assert code == 1
    [line] = [line for line in printed.splitlines() if f"FAILED  {check} " in line]
    assert line.endswith(sentence)
    assert "passed  start " in printed


def test_the_command_ends_well_for_a_method_that_passes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, printed, _ = call(["exam", "zeroshot"], monkeypatch, capsys)
    assert code == 0
    assert printed.startswith("zeroshot, defaults\n  passed  start ")
    assert (
        "n/a     gradients      every trained tensor has a gradient: nothing is trained" in printed
    )
    code, _, error = call(["exam", "zeroshoot"], monkeypatch, capsys)
    assert code == 2
    assert "did you mean 'zeroshot'?" in error
