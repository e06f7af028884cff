"""All trials of a method and its variants, and what came of each."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fplbench.contract import hooks, rounds
from fplbench.contract.room import Candidate, candidates
from fplbench.contract.verdict import Failed
from fplbench.errors import UserError
from fplbench.method import Method

Trial = Callable[[Candidate], str | None]


@dataclass(frozen=True)
class Check:
    """promise: what the method promises; trial: what tries it."""

    name: str
    promise: str
    trial: Trial


CHECKS: Mapping[str, Check] = {
    check.name: check
    for check in (
        Check("start", "init depends on its generator alone", hooks.start),
        Check("shapes", "logits are [C, B, K], a loss is [C]", hooks.shapes),
        Check("gradients", "every trained tensor has a gradient", hooks.gradients),
        Check("alone", "a client beside others is what it is alone", hooks.alone),
        Check("mask", "images outside the mask change nothing", hooks.mask),
        Check("images", "an answer depends on no other image", hooks.images),
        Check("precision", "float64 agrees and stays float64", hooks.precision),
        Check("device", "everything is computed on the clients' device", hooks.device),
        Check("untouched", "no hook changes what it is given", hooks.untouched),
        Check("state", "an object holds its settings and nothing else", hooks.state),
        Check(
            "shared_prompt", "the shared prompt alone forgets what is private", hooks.shared_prompt
        ),
        Check("chunks", "clients computed one by one end like all at once", rounds.chunks),
        Check("average", "shared tensors are averaged, private ones stay", rounds.average),
        Check("absent", "a client that was not sampled keeps its own", rounds.absent),
        Check("evaluation", "evaluation changes nothing", rounds.evaluation),
    )
}


@dataclass(frozen=True)
class Verdict:
    """What came of one check. why: one sentence, empty where it passed."""

    candidate: Candidate
    check: Check
    outcome: Literal["passed", "failed", "n/a"]
    why: str = ""


def examine(kind: type[Method]) -> Iterator[Verdict]:
    """Every check of a method's or strategy's defaults, then of each variant that it declares."""
    for candidate in candidates(kind):
        for check in CHECKS.values():
            yield judge(candidate, check)


def judge(candidate: Candidate, check: Check) -> Verdict:
    """One check; an error of the method's own is a broken promise too."""
    try:
        reason = check.trial(candidate)
    except Failed as broken:
        return Verdict(candidate, check, "failed", str(broken))
    except UserError:
        raise
    except Exception as error:
        return Verdict(candidate, check, "failed", _raised(error, candidate.kind))
    return Verdict(candidate, check, "passed" if reason is None else "n/a", reason or "")


def _raised(error: Exception, kind: type[Method]) -> str:
    """An error with the last line of the method's file that it passed through."""
    text = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".")
    file = inspect.getsourcefile(kind)
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
    where = f" ({Path(file).name}, line {lines[-1]})" if file and lines else ""
    return f"it raises {text}{where}."
