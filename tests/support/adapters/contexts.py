"""Methods with contexts alone, and strategies around the plainest of them."""
# ruff: noqa: RUF012

from __future__ import annotations

import torch
import torch.nn.functional as F
from golden_cases import Case
from torch import Tensor

from adapters.base import PLACE, Adapter, Close, Setting, rounds_of
from fplbench.method import Tensors


class PromptFL(Adapter):
    method = "promptfl"
    settings = {"n_ctx": "n_ctx", "csc": "csc", "pos": "position"}


class FedPGP(Adapter):
    method = "fedpgp"
    settings = {
        "n_ctx": "n_ctx",
        "pos": "position",
        "mu": "mu",
        "temp": "tau",
        "bottleneck": "rank",
    }
    always = {"guidance": "placeholder"}
    terms = {"ce": ("ce", ""), "contrastive": ("contrastive", "mu")}

    def ours(self, golden: Tensors) -> Tensors:
        return {name: value[0] for name, value in golden.items()}

    def theirs(self, ours: Tensors) -> Tensors:
        return {name: value[None] for name, value in ours.items()}

    def compared(self, s: Setting) -> dict[str, Tensor]:
        """The three that the loss compares."""
        shared = s.method.shared_only(s.params)
        assert shared is not None
        clip = s.fixed.get("t_clip")  # not computed where mu is 0
        theirs = {} if clip is None else {"text_features_clip": F.normalize(clip, dim=-1)[PLACE]}
        return theirs | {
            "text_features_global": s.method.encode(shared, s.task)["t"][PLACE],
            "text_features_personal": s.method.encode(s.params, s.task)["t"][PLACE],
        }


class FedOTP(Adapter):
    method = "fedotp"
    stops_by_client = True
    settings = {
        "n_ctx": "n_ctx",
        "pos": "position",
        "ot": "ot",
        "eps": "eps",
        "thresh": "thresh",
        "max_iter": "max_iter",
        "top_percent": "top_percent",
    }

    def ours(self, golden: Tensors) -> Tensors:
        return {"ctx_shared": golden["ctx"][0], "ctx_private": golden["ctx"][1]}

    def theirs(self, ours: Tensors) -> Tensors:
        return {"ctx": torch.stack([ours["ctx_shared"], ours["ctx_private"]])}


class FedProx(PromptFL):
    strategy = "fedprox"
    settings = {"n_ctx": "n_ctx", "pos": "position"}
    terms = {"ce": ("ce", ""), "penalty": ("prox", "")}

    def travel(self, case: Case) -> dict[str, object]:
        return {"mu": case.settings["mu"], "gradient": "mended" in case.settings}

    def received(self, case: Case, params: Tensors) -> Tensors:
        sent = 0.9 * params["ctx"]
        sent[PLACE] = case.of("input.global_ctx")
        return {"ctx": sent}


class FedAMP(PromptFL):
    strategy = "fedamp"
    settings = {"n_ctx": "n_ctx", "pos": "position"}
    terms = {"ce": ("ce", ""), "penalty": ("penalty", "")}

    def travel(self, case: Case) -> dict[str, object]:
        mended = "mended" in case.settings
        found = {
            "lam": case.settings["lam"],
            "sigma": case.settings["sigma"],
            "penalty": "distance",
            "gradient": mended,
            "attention": "paper" if "alpha" in case.settings else "published",
        }
        return found | ({"alpha": case.settings["alpha"]} if "alpha" in case.settings else {})

    def beside(self, case: Case) -> Tensors:
        return {"cloud.ctx": case.of("input.u"), "heard": torch.tensor(True)}

    def aggregated(self, case: Case) -> tuple[Tensors, Tensors]:
        method = self.made(case)
        r, everyone = rounds_of(case)
        sent, kept = case.of("input.uploads.ctx"), case.of("input.kept.ctx")
        specs = method.init(_Bare(), torch.Generator())  # type: ignore[arg-type]
        specs = {"ctx": type(specs["ctx"])(case.of("init.ctx"), shared=False)}
        server = method.aggregate(method.begin(specs, everyone.total), {"ctx": sent}, r)
        started = method.merge({"ctx": kept}, method.download(server, everyone))
        return {"u": started["cloud.ctx"][r.clients]}, {"ctx": started["ctx"]}

    def check(self, s: Setting, close: Close) -> None:
        silent = s.params | {"heard": torch.zeros(3, dtype=torch.bool)}
        terms = s.method.losses(silent, s.batch(), s.task)
        assert not bool(terms["penalty"].any())  # before its first aggregation


class _Bare:
    """Enough of a task to start a context."""

    width = 128
    classnames = ("a",)


class FedPer(PromptFL):
    strategy = "fedper"
    settings = {}

    def aggregated(self, case: Case) -> tuple[Tensors, Tensors]:
        method = self.made(case)
        r, everyone = rounds_of(case)
        uploads = method.upload({"ctx": case.of("input.uploads.ctx")}, r)
        server = method.aggregate({}, uploads, r)
        kept = {"ctx": case.of("input.kept.ctx")}
        return server, method.merge(kept, method.download(server, everyone))


CONTEXTS: dict[str, Adapter] = {
    "promptfl": PromptFL(),
    "fedpgp": FedPGP(),
    "fedotp": FedOTP(),
    "promptfl_fedprox": FedProx(),
    "promptfl_fedamp": FedAMP(),
    "promptfl_fedper": FedPer(),
}
