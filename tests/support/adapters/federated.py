"""Methods whose papers are about federation."""
# ruff: noqa: RUF012

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import torch.nn.functional as F
from golden_cases import Case
from torch import Tensor

from adapters.base import PLACE, Adapter, Close, Setting, rounds_of
from fplbench.method import Tensors, mean_of


class Halves(Adapter):
    """One tensor of the format holds the shared and the private one."""

    def ours(self, golden: Tensors) -> Tensors:
        return {"ctx_shared": golden["ctx"][0], "ctx_private": golden["ctx"][1]}

    def theirs(self, ours: Tensors) -> Tensors:
        return {"ctx": torch.stack([ours["ctx_shared"], ours["ctx_private"]])}


class PromptFolio(Halves):
    method = "promptfolio"
    settings = {"n_ctx": "n_ctx", "pos": "position", "theta": "theta"}

    def config(self, case: Case) -> dict[str, object]:
        coded = case.kind == "aggregation" and "mended" not in case.settings
        return super().config(case) | {"published_order": coded}

    def aggregated(self, case: Case) -> tuple[Tensors, Tensors]:
        method = self.made(case)
        r, everyone = rounds_of(case)
        server = method.aggregate({}, {"ctx_shared": case.of("input.uploads.ctx")[:, 0]}, r)
        kept = case.of("input.kept.ctx")
        mine = {"ctx_shared": kept[:, 0], "ctx_private": kept[:, 1]}
        started = method.merge(mine, method.download(server, everyone))
        both = torch.stack([started["ctx_shared"], started["ctx_private"]], dim=1)
        return {"ctx": server["ctx_shared"][None]}, {"ctx": both}


class FedTPG(Adapter):
    method = "fedtpg"
    settings = {
        "n_ctx": "n_ctx",
        "d_ctx": "d_ctx",
        "depth": "depth",
        "ff_mult": "ff_mult",
        "cross_heads": "heads",
    }
    PARTS = {
        "soft_prompt": "queries",
        "fn.q_proj_weight": "q",
        "fn.k_proj_weight": "k",
        "fn.v_proj_weight": "v",
        "fn.in_proj_weight": "qkv",
        "fn.in_proj_bias": "qkv_bias",
        "fn.out_proj.weight": "out",
        "fn.out_proj.bias": "out_bias",
        "norm.weight": "norm",
        "norm.bias": "norm_bias",
        "norm_context.weight": "norm_names",
        "norm_context.bias": "norm_names_bias",
        "net.0.weight": "ff_norm",
        "net.0.bias": "ff_norm_bias",
        "net.1.weight": "ff_w1",
        "net.1.bias": "ff_b1",
        "net.3.weight": "ff_w2",
        "net.3.bias": "ff_b2",
    }

    def ours(self, golden: Tensors) -> Tensors:
        return {self.our(name): value for name, value in golden.items()}

    def our(self, name: str) -> str:
        block = re.fullmatch(r"transformer\.layers\.(\d+)\.\d\.(.*)", name)
        if block:
            return f"block{block[1]}_{self.PARTS[block[2]]}"
        return self.PARTS[re.sub(r"^encoder\.cross_attend_blocks\.\d\.", "", name)]

    def theirs(self, ours: Tensors) -> Tensors:
        back = {v: k for k, v in self.PARTS.items()}
        found = {}
        for name, value in ours.items():
            block = re.fullmatch(r"block(\d+)_(.*)", name)
            part = back[block[2] if block else name]
            place = int(part.startswith("net."))
            if block:
                found[f"transformer.layers.{block[1]}.{place}.{part}"] = value
            elif name == "queries":
                found[part] = value
            else:
                found[f"encoder.cross_attend_blocks.{place}.{part}"] = value
        return found

    def compared(self, s: Setting) -> dict[str, Tensor]:
        names = s.fixed["names"][PLACE]
        context = s.method.context(s.params, names)  # type: ignore[attr-defined]
        return {
            "ctx": context[PLACE],
            "text_features": s.method.encode(s.params, s.task)["t"][PLACE],
        }

    def check(self, s: Setting, close: Close) -> None:
        close("features of the names", s.fixed["names"][PLACE], s.case.of("input.context_emb"))


class PFedMoAP(Adapter):
    method = "pfedmoap"
    settings = {
        "n_ctx": "n_ctx",
        "num_experts": "num_experts",
        "lmbda": "lmbda",
        "scaling": "scaling",
        "gating_dim": "gate_dim",
        "gating_heads": "gate_heads",
    }
    names = {
        f"gating.W_{gate}.{kind}": f"gate_{gate}{end}"
        for gate in "qkvo"
        for kind, end in (("weight", ""), ("bias", "_bias"))
    }

    def config(self, case: Case) -> dict[str, object]:
        if case.kind != "step":
            nearest = "nearest" in str(case.settings.get("mended", ""))
            return super().config(case) | {"experts": "nearest" if nearest else "published"}
        rate = case.number("lr_gating") / case.number("lr")
        return super().config(case) | {"gate_lr": rate}

    def beside(self, case: Case) -> Tensors:
        experts = case.of("input.experts")
        return {"experts": experts, "known": torch.ones(len(experts), dtype=torch.bool)}

    def setting(self, s: Setting) -> None:
        s.fixed = s.method.prepare(s.params, {}, s.task)

    def check(self, s: Setting, close: Close) -> None:
        close(
            "experts' features",
            s.fixed["experts"][PLACE],
            s.case.of("input.expert_text_features"),
        )
        nobody = s.params | {"known": torch.zeros_like(s.params["known"])}
        text = s.method.encode(nobody, s.task)
        logits = s.method.logits(nobody, text, s.batch(training=False), s.task)
        wanted = s.case.of("expected.logits_without_experts")
        close("logits without experts", logits[PLACE, : len(wanted)], wanted)

    def aggregated(self, case: Case) -> tuple[Tensors, Tensors]:
        method = self.made(case)
        r, everyone = rounds_of(case)
        before = {
            "ctx": case.of("input.prompts")[0],
            "prompts": case.of("input.prompts").clone(),
            "trained": case.of("input.trained").bool(),
            "order": case.of("input.order").long(),
        }
        server = method.aggregate(before, case.group("input.uploads."), r)
        # The prompts and who was trained are those that the case says that the server holds.
        server |= {name: before[name] for name in ("prompts", "trained")}
        sent = method.download(server, everyone)
        for client, wanted in enumerate(case.of("expected.experts").tolist()):
            assert method.chosen(server, client, everyone) == wanted  # type: ignore[attr-defined]
        return server, sent


class DPFPL(Adapter):
    method = "dpfpl"
    settings = {
        "n_ctx": "n_ctx",
        "rank": "rank",
        "norm_thresh": "clip",
        "epsilon": "epsilon",
        "delta": "delta",
        "rounds": "steps",
        "users": "users",
    }
    names = {"global_ctx": "ctx_global", "local_ctx": "ctx_local"}

    def drawn(self, case: Case, purpose: str, step: int) -> Tensor:
        return case.of(f"input.{purpose}")[step]

    def gradients(self, case: Case) -> Tensors:
        found = case.group("expected.step_grad.")
        return {name: found[name] for name in ("global_ctx", "local_ctx")}

    def check(self, s: Setting, close: Close) -> None:
        method, case, batch = s.method, s.case, s.batch()
        u, v = method.factors(s.params["ctx_local"], batch)  # type: ignore[attr-defined]
        close("U", u[PLACE], case.of("expected.U"))
        close("V", v[PLACE], case.of("expected.V"))
        std = method.std(batch)[PLACE].view([])  # type: ignore[attr-defined]
        assert abs(float(std) - case.number("std")) <= 1e-6 * case.number("std")

    def aggregated(self, case: Case) -> tuple[Tensors, Tensors]:
        """The clients' mean, all alike, and the server's noise."""
        sent = case.group("input.uploads.")
        weights = torch.full([int(case.number("users"))], 1 / case.number("users")).double()
        mean = mean_of(sent, weights)["global_grad"]
        noised = mean + case.number("std_server") * case.of("input.noise_server")
        every = noised.expand(len(weights), *noised.shape)
        return {"global_grad": noised}, {"global_grad": every}

    def check_rounds(self, case: Case, close: Close) -> None:
        """The published loop with its fault 38: a batch reloads the tensors from before the last
        one, and the last client's gradient of P is everybody's."""
        from adapters.dpfpl_rounds import check

        check(self.made(case), case, close)


class FedPHA(Adapter):
    method = "fedpha"
    settings = {
        "n_ctx": "n_ctx",
        "alpha": "alpha",
        "ratio": "ratio",
        "lambda_pull": "pull",
        "lambda_push": "push",
    }
    terms = {
        "ce": ("ce", ""),
        "ce_global": ("ce_global", ""),
        "pull": ("pull", "lambda_pull"),
        "push": ("push", "lambda_push"),
    }

    def config(self, case: Case) -> dict[str, object]:
        projector = "null_space" if "mended" in case.settings else "published"
        return super().config(case) | {"projector": projector, "least_removed": 0}

    def ours(self, golden: Tensors) -> Tensors:
        return {name: value[0] for name, value in golden.items()}

    def theirs(self, ours: Tensors) -> Tensors:
        return {name: value[None] for name, value in ours.items()}

    def compared(self, s: Setting) -> dict[str, Tensor]:
        local, whole = s.params["ctx_local"], s.params["ctx_global"]
        projected = s.method.projected(local, whole)  # type: ignore[attr-defined]
        every = torch.stack([local, whole, projected], dim=1)
        text = F.normalize(s.task.encode_prompts(every), dim=-1)[PLACE]
        return {
            "text_features_local": text[0],
            "text_features_global": text[1],
            "text_features_projected": text[2],
        }


class FedPHAHE(FedPHA):
    """The case's client has its own of the lengths, those beside it the others."""

    method = "fedpha_he"
    settings = {"n_ctx": "n_ctx", "alpha": "alpha", "ratio": "ratio"}

    def config(self, case: Case) -> dict[str, object]:
        lengths = lengths_of(case)
        self.own, self.room = lengths[0], max(*lengths, int(case.number("n_ctx"))) - lengths[0]
        mended, coded = str(case.settings.get("mended", "")), "eot_from" in case.settings
        return Adapter.config(self, case) | {
            "least_removed": 0,
            "shortest": min(lengths),
            "longest": max(lengths),
            "read": "longest" if coded else "own",
            "projector": "null_space" if "projector" in mended else "published",
        }

    def ours(self, golden: Tensors) -> Tensors:
        nothing = torch.ones(self.room, golden["ctx_local"].shape[1])
        return golden | {"ctx_local": torch.cat([golden["ctx_local"], nothing])}

    def theirs(self, ours: Tensors) -> Tensors:
        return {"ctx_global": ours["ctx_global"], "ctx_local": ours["ctx_local"][: self.own]}

    def together(self, case: Case) -> Tensors:
        own, *others = lengths_of(case)
        beside = others or [own]
        return {"length": torch.tensor([beside[0], own, beside[-1]])}

    def compared(self, s: Setting) -> dict[str, Tensor]:
        text = s.method.every_feature(s.params, s.task)[PLACE]  # type: ignore[attr-defined]
        found = {
            "text_features_local": text[0],
            "text_features_global": text[1],
            "text_features_projected": text[2],
        }
        shared = s.method.shared_only(s.params)
        assert shared is not None
        alone = s.method.logits(shared, s.method.encode(shared, s.task), s.batch(), s.task)
        return found | {"logits_global": alone[PLACE, : len(s.case.of("input.labels"))]}


def lengths_of(case: Case) -> list[int]:
    """Of the prompts of a case's clients, its own first."""
    lengths, client = case.settings["prompt_lengths"], int(case.number("client"))
    assert isinstance(lengths, list)
    return [lengths[client], *lengths[:client], *lengths[client + 1 :]]


class FedSEPT(Adapter):
    method = "fedsept"
    settings = {"n_ctx": "n_ctx", "experts": "num_experts", "rank": "rank", "lambda_div": "lam"}
    terms = {"ce": ("ce", ""), "diversity": ("diversity", "lambda_div")}
    names = {
        "local_R": "local",
        "router.aggregator.query": "router_query",
        "router.aggregator.attn.in_proj_weight": "router_qkv",
        "router.aggregator.attn.in_proj_bias": "router_qkv_bias",
        "router.aggregator.attn.out_proj.weight": "router_out",
        "router.aggregator.attn.out_proj.bias": "router_out_bias",
        "router.aggregator.post_ln.weight": "router_norm",
        "router.aggregator.post_ln.bias": "router_norm_bias",
        "router.head.fc.weight": "router_head",
        "router.head.fc.bias": "router_head_bias",
    }

    def ours(self, golden: Tensors) -> Tensors:
        experts, count = golden["experts_A"], len(golden["router.head.fc.bias"])
        rest = {name: value for name, value in golden.items() if name != "experts_A"}
        return super().ours(rest) | {"experts": experts.unflatten(0, (count, -1))}

    def theirs(self, ours: Tensors) -> Tensors:
        kept = {name: value for name, value in ours.items() if name not in ("experts", "basis")}
        return super().theirs(kept) | {"experts_A": ours["experts"].flatten(0, 1)}

    def beside(self, case: Case) -> Tensors:
        return {"basis": case.of("input.B0")}

    def compared(self, s: Setting) -> dict[str, Tensor]:
        count = len(s.case.of("input.labels"))
        gate = s.method.gate(s.params, s.batch().pooled)  # type: ignore[attr-defined]
        return {"gate": gate[PLACE, :count]}


class FedDDA(Adapter):
    method = "feddda"
    settings = {"n_ctx": "n_ctx", "style_words": "style"}
    PARTS = {
        "shared_w1": "shared_adapter.layer.0.weight",
        "shared_w2": "shared_adapter.layer.2.weight",
        "own_w1": "specific_adapter.layer.0.weight",
        "own_w2": "specific_adapter.layer.2.weight",
        "gate": "gate.wg.weight",
    }

    def ours(self, golden: Tensors) -> Tensors:
        first, second = golden["ctx"]
        found = {ours: golden[theirs] for ours, theirs in self.PARTS.items()}
        return found | {"ctx_shared": first, "ctx_private": second}

    def theirs(self, ours: Tensors) -> Tensors:
        found = {self.PARTS[name]: value for name, value in ours.items() if name in self.PARTS}
        return found | {"ctx": torch.stack([ours["ctx_shared"], ours["ctx_private"]])}


class FedAPT(Adapter):
    method = "fedapt"
    settings = {"n_ctx": "n_ctx", "temperature": "temperature", "domains": "domains"}
    terms = {"ce": ("ce", ""), "domain": ("domain", "")}

    def beside(self, case: Case) -> Tensors:
        return {"keys": case.of("input.keys"), "domain": torch.tensor(case.settings["domain"])}

    def compared(self, s: Setting) -> dict[str, Tensor]:
        count, batch = len(s.case.of("input.labels")), s.batch()
        method = s.method
        text = method.of_domain(s.params, s.task)  # type: ignore[attr-defined]
        logits = s.task.logit_scale * batch.pooled @ text.mT
        return {
            "domain_logits": method.domains(s.params, batch)[PLACE, :count],  # type: ignore[attr-defined]
            "train_logits": logits[PLACE, :count],
        }


class FOCoOp(Adapter):
    method = "focoop"
    settings = {
        "n_ctx": "n_ctx",
        "frac": "frac",
        "gamma_1": "gamma_1",
        "gamma_2": "gamma_2",
        "tau": "tau",
        "iterations": "iterations",
    }
    always = {"penalty": "published"}
    terms = {}
    amplifies = True

    def config(self, case: Case) -> dict[str, object]:
        words = case.settings["ood_words"]
        assert isinstance(words, list)
        path = Path(FILES.name) / f"{case.name}.txt"
        path.write_text("\n".join(words))
        return super().config(case) | {"num_ood": len(words), "words": str(path)}

    def ours(self, golden: Tensors) -> Tensors:
        return golden | {"gamma": torch.zeros(2)}

    def beside(self, case: Case) -> Tensors:
        return {"gamma": torch.tensor([case.number("gamma_1"), case.number("gamma_2")])}

    def drawn(self, case: Case, purpose: str, step: int) -> Tensor:
        return case.of(f"input.{purpose}")[step]

    def gradients(self, case: Case) -> Tensors:
        """Of the gammas it is how far the perturbations went, which is what they step by."""
        radii = [case.of(f"expected.adversarial_{which}").abs().mean() for which in ("id", "ood")]
        return super().gradients(case) | {"gamma": -torch.stack(radii)}

    def after(self, case: Case) -> Tensors:
        return super().after(case) | {"gamma": case.of("expected.gammas")[-1]}

    def check(self, s: Setting, close: Close) -> None:
        method, count = s.method, len(s.case.of("input.labels"))
        a, o = method.encode(s.params, s.task)["t"], method.others(s.params, s.task)  # type: ignore[attr-defined]
        logits = s.task.logit_scale * s.batch().pooled @ torch.cat([a, o], dim=1).mT
        close("logits of words too", logits[PLACE, :count], s.case.of("expected.logits"))
        found = method.adversary(a, o, s.params["gamma"], s.batch(), s.task)  # type: ignore[attr-defined]
        for which, eps in zip(("id", "ood"), found, strict=True):
            wanted = s.case.of(f"expected.adversarial_{which}")
            close(f"perturbation {which}", eps[PLACE], wanted)


FILES = TemporaryDirectory()
"""Of settings that name a file."""

FEDERATED: dict[str, Adapter] = {
    "promptfolio": PromptFolio(),
    "fedtpg": FedTPG(),
    "pfedmoap": PFedMoAP(),
    "dpfpl": DPFPL(),
    "fedpha": FedPHA(),
    "fedpha, heterogeneous lengths": FedPHAHE(),
    "fedsept": FedSEPT(),
    "feddda": FedDDA(),
    "fedapt": FedAPT(),
    "focoop": FOCoOp(),
}
