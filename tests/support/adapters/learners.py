"""Prompt learners of one client: the papers before federation."""
# ruff: noqa: RUF012

from __future__ import annotations

import torch
from golden_cases import Case
from torch import Tensor

from adapters.base import PLACE, Adapter, Close, Setting
from fplbench.engine.train import step_gradients
from fplbench.method import Tensors


def template_of(case: Case) -> list[str]:
    template = case.settings["template"]
    assert isinstance(template, str)
    return [template]


class KgCoOp(Adapter):
    method = "kgcoop"
    settings = {"n_ctx": "n_ctx", "w": "w"}
    terms = {"ce": ("ce", ""), "kg": ("kg", "w")}

    def templates(self, case: Case) -> list[str]:
        return template_of(case)

    def compared(self, s: Setting) -> dict[str, Tensor]:
        return {
            "text_features_clip": s.task.clip_text_features,
            "text_features": s.method.encode(s.params, s.task)["t"][PLACE],
        }


class ProGrad(Adapter):
    method = "prograd"
    settings = {
        "n_ctx": "n_ctx",
        "lambda": "lam",
        "T": "temperature",
        "fixed_words": "fixed_words",
    }
    terms = {"ce": ("ce", ""), "kl": ("kl", "")}

    def templates(self, case: Case) -> list[str]:
        return template_of(case)

    def total(self, terms: Tensors) -> Tensor:
        """There is no scalar whose gradient is the step: the cases have the trace of ce."""
        return terms["ce"]

    def gradients(self, case: Case) -> Tensors:
        return case.group("expected.step_grad.")

    def check(self, s: Setting, close: Close) -> None:
        _, found = step_gradients(s.method, s.params, ["ctx"], s.batch(), s.task)
        raw = found["ctx"][PLACE]
        expected = s.case.group("expected.grad_ce.")["ctx"]
        against = float((expected * s.case.of("expected.grad_kl.ctx")).sum())
        assert (against < 0) == (float((raw - expected).abs().max()) > 1e-4)


class CoCoOp(Adapter):
    method = "cocoop"
    settings = {"n_ctx": "n_ctx"}
    names = {
        "meta_net.linear1.weight": "meta_w1",
        "meta_net.linear1.bias": "meta_b1",
        "meta_net.linear2.weight": "meta_w2",
        "meta_net.linear2.bias": "meta_b2",
    }

    def compared(self, s: Setting) -> dict[str, Tensor]:
        images, count = s.batch().pooled, len(s.case.of("input.labels"))
        method = s.method
        return {
            "meta_bias": method.bias(s.params, images)[PLACE, :count],  # type: ignore[attr-defined]
            "text_features": method.conditioned(s.params, images, s.task)[  # type: ignore[attr-defined]
                PLACE, :count
            ],
        }


class PLOT(Adapter):
    method = "plot"
    stops_by_client = True
    settings = {
        "n_ctx": "n_ctx",
        "N": "prompts",
        "pos": "position",
        "eps": "eps",
        "thresh": "thresh",
        "max_iter": "max_iter",
        "pooled": "pooled",
    }

    def compared(self, s: Setting) -> dict[str, Tensor]:
        return {"text_features": s.method.encode(s.params, s.task)["h"][PLACE]}


class ProDA(Adapter):
    method = "proda"
    settings = {
        "n_ctx": "n_ctx",
        "n_prompts": "prompts",
        "prompt_batch": "prompt_batch",
        "alpha": "alpha",
    }
    terms = {"ce": ("ce", ""), "diversity": ("diversity", "alpha")}

    def drawn(self, case: Case, purpose: str, step: int) -> Tensor:
        """The step's prompts, before those that it leaves out."""
        assert purpose == "prompts"
        chosen = case.of("input.prompt_index")[step].tolist()
        count = len(case.of("init.ctx"))
        return torch.tensor([*chosen, *(j for j in range(count) if j not in chosen)])

    def compared(self, s: Setting) -> dict[str, Tensor]:
        method, batch = s.method, s.batch()
        chosen = s.case.of("input.prompt_index")[0].tolist()
        text = method.features(s.params["ctx"], s.task, chosen)  # type: ignore[attr-defined]
        count = len(s.case.of("input.labels"))
        logits = method.train_logits(text, batch, s.task)  # type: ignore[attr-defined]
        return {
            "text_mean": method.encode(s.params, s.task)["t"][PLACE],
            "text_mean_batch": text.mean(1)[PLACE],
            "train_logits": logits[PLACE, :count],
        }


LEARNERS: dict[str, Adapter] = {
    "kgcoop": KgCoOp(),
    "prograd": ProGrad(),
    "cocoop": CoCoOp(),
    "plot": PLOT(),
    "proda": ProDA(),
}
