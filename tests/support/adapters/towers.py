"""Methods that change the image tower."""
# ruff: noqa: RUF012

from __future__ import annotations

import re

import torch
import torch.nn.functional as F
from golden_cases import Case
from torch import Tensor

from adapters.base import PLACE, Adapter, Close, Setting, rounds_of, sgd_of
from adapters.learners import template_of
from fplbench.engine.train import step_gradients
from fplbench.method import Tensors

IMAGE = "image_encoder."
LAYER = re.compile(r"(image|text)_encoder\.transformer\.resblocks\.(\d+)\.VPT_shallow")


class VPT(Adapter):
    method = "vpt"
    settings = {"n_ctx_vision": "n_ctx_vision", "depth_vision": "depth"}

    def templates(self, case: Case) -> list[str]:
        return template_of(case)

    def ours(self, golden: Tensors) -> Tensors:
        """The first layer's prompts and those of each other, in order."""
        layers = {
            m[2]: t for n, t in golden.items() if (m := LAYER.fullmatch(n)) and m[1] == "image"
        }
        deeper = [layers[each] for each in sorted(layers, key=int)]
        return {"ctx_vision": torch.stack([golden[f"{IMAGE}VPT"], *deeper])}

    def theirs(self, ours: Tensors) -> Tensors:
        first, *deeper = ours["ctx_vision"]
        named = {
            f"{IMAGE}transformer.resblocks.{i}.VPT_shallow": t
            for i, t in enumerate(deeper, start=1)
        }
        return {f"{IMAGE}VPT": first} | named

    def compared(self, s: Setting) -> dict[str, Tensor]:
        return {"text_features_clip": s.task.clip_text_features}


class IVLP(VPT):
    method = "ivlp"
    settings = {
        "n_ctx": "n_ctx",
        "n_ctx_vision": "n_ctx_vision",
        "depth": "depth",
        "depth_vision": "depth_vision",
        "fixed_words": "fixed_words",
    }

    def templates(self, case: Case) -> list[str]:
        return Adapter.templates(self, case)

    def ours(self, golden: Tensors) -> Tensors:
        layers = {
            m[2]: t for n, t in golden.items() if (m := LAYER.fullmatch(n)) and m[1] == "text"
        }
        found = super().ours(golden) | {"ctx": golden["ctx"]}
        if layers:
            found["ctx_deep"] = torch.stack([layers[each] for each in sorted(layers, key=int)])
        return found

    def theirs(self, ours: Tensors) -> Tensors:
        deeper = ours.get("ctx_deep", ())
        named = {
            f"text_encoder.transformer.resblocks.{i}.VPT_shallow": t
            for i, t in enumerate(deeper, start=1)
        }
        return super().theirs(ours) | named | {"ctx": ours["ctx"]}

    def compared(self, s: Setting) -> dict[str, Tensor]:
        images = s.method.images(s.params, s.batch(), s.task)  # type: ignore[attr-defined]
        return {
            "text_features": s.method.encode(s.params, s.task)["t"][PLACE],
            "image_features": images[PLACE, : len(s.case.of("input.labels"))],
        }


class PromptSRC(IVLP):
    method = "promptsrc"
    settings = IVLP.settings | {
        "text_loss_weight": "text_weight",
        "image_loss_weight": "image_weight",
        "gpa_mean": "gpa_mean",
        "gpa_std": "gpa_std",
    }
    terms = {
        "ce": ("ce", ""),
        "scl_text": ("scl_text", "text_loss_weight"),
        "scl_image": ("scl_image", "image_loss_weight"),
        "scl_logits": ("scl_logits", ""),
    }

    def compared(self, s: Setting) -> dict[str, Tensor]:
        plain = s.task.encode_images(s.batch().embedded).squeeze(1)
        count = len(s.case.of("input.labels"))
        return super().compared(s) | {
            "text_features_clip": s.fixed["t0"][PLACE],
            "image_features_clip": F.normalize(plain, dim=-1)[PLACE, :count],
        }

    def check(self, s: Setting, close: Close) -> None:
        """The average of epochs of one step each, as the server's of as many rounds."""
        params = {name: value.clone() for name, value in s.params.items()}
        optimizer = sgd_of(s.case, s.specs)
        alone = {name: value[PLACE] for name, value in params.items()}
        server = s.method.begin({n: type(s.specs[n])(alone[n]) for n in s.specs}, total=1)
        for index in range(1, int(s.case.number("gpa_epochs")) + 1):
            _, grads = step_gradients(s.method, params, s.trained, s.batch(), s.task)
            optimizer.step(params, grads)
            r = rounds_of(ONE, index)[0]
            sent = {name: params[name][PLACE : PLACE + 1] for name in s.specs}
            server = s.method.aggregate(server, sent, r)
        found = self.theirs({name: server[f"average_{name}"] for name in s.specs})
        for name, value in s.case.group("expected.after_gpa.").items():
            close(f"{name}, averaged", found[name], value)


ONE = Case(
    "one client",
    {"all_sizes": [4]},
    {"input.clients": torch.tensor([0]), "input.sizes": torch.tensor([4])},
)


class MaPLe(IVLP):
    method = "maple"
    settings = {"n_ctx": "n_ctx", "depth": "depth", "fixed_words": "fixed_words"}

    def ours(self, golden: Tensors) -> Tensors:
        found = {
            "ctx": golden["ctx"],
            "couple": golden["proj.weight"],
            "couple_bias": golden["proj.bias"],
        }
        count = sum(name.startswith("compound_prompts_text.") for name in golden)
        if count:
            names = {
                "ctx_deep": "compound_prompts_text.{}",
                "couple_deep": "compound_prompt_projections.{}.weight",
                "couple_deep_bias": "compound_prompt_projections.{}.bias",
            }
            for ours, theirs in names.items():
                found[ours] = torch.stack([golden[theirs.format(i)] for i in range(count)])
        return found

    def theirs(self, ours: Tensors) -> Tensors:
        found = {
            "ctx": ours["ctx"],
            "proj.weight": ours["couple"],
            "proj.bias": ours["couple_bias"],
        }
        for i, prompt in enumerate(ours.get("ctx_deep", ())):
            found[f"compound_prompts_text.{i}"] = prompt
            found[f"compound_prompt_projections.{i}.weight"] = ours["couple_deep"][i]
            found[f"compound_prompt_projections.{i}.bias"] = ours["couple_deep_bias"][i]
        return found


class PLOTpp(Adapter):
    method = "plotpp"
    stops_by_client = True
    settings = {
        "n_ctx": "n_ctx",
        "N": "prompts",
        "M": "images",
        "n_ctx_vision": "n_ctx_vision",
        "pos": "position",
        "eps": "eps",
        "thresh": "thresh",
        "max_iter": "max_iter",
        "pooled": "pooled",
    }

    def compared(self, s: Setting) -> dict[str, Tensor]:
        images = s.task.encode_images(s.batch().embedded, s.params["ctx_vision"])
        count = len(s.case.of("input.labels"))
        return {
            "text_features": s.method.encode(s.params, s.task)["h"][PLACE],
            "image_features": F.normalize(images, dim=-1)[PLACE, :, :count].transpose(0, 1),
        }


class FedMGP(Adapter):
    method = "fedmgp"
    settings = {
        "n_ctx": "n_ctx",
        "groups": "groups",
        "n_ctx_vision": "n_ctx_vision",
        "divergence": "distance",
        "divergence_weight": "divergence_weight",
        "topk": "topk",
        "temperature": "tau",
        "highest": "highest",
        "probabilistic": "probabilistic",
    }
    names = {"vpt": "ctx_vision"}
    terms = {"ce": ("ce", ""), "divergence": ("divergence", "divergence_weight")}

    def config(self, case: Case) -> dict[str, object]:
        words = str(case.settings.get("ctx_init", "")).split()
        return super().config(case) | {
            "sign": "apart" if "mended" in case.settings else "published",
            "fixed_words": " ".join(words[int(case.number("n_ctx")) :]),
        }

    def compared(self, s: Setting) -> dict[str, Tensor]:
        count = len(s.case.of("input.labels"))
        images = s.method.images(s.params, s.batch(), s.task)  # type: ignore[attr-defined]
        return {
            "text_features": s.method.encode(s.params, s.task)["t"][PLACE],
            "image_features": images[PLACE, :, :count],
        }

    def check_rounds(self, case: Case, close: Close) -> None:
        """Rounds, each with clients' tensors given afresh and the choice that was made."""
        method, kinds = self.made(case), {"ctx": "ctx", "vpt": "ctx_vision"}
        r, everyone = rounds_of(case)
        server: Tensors = {"known": torch.tensor(False)}
        for index in range(int(case.number("rounds"))):
            trained = case.group(f"input.{index}.trained.")
            chosen = case.group(f"input.{index}.selected.")
            params = {o: trained[t] for t, o in kinds.items()}
            for theirs, ours in kinds.items():
                params[f"chosen_{ours}"] = chosen[theirs].long()
                if index:
                    last = server[ours].expand(len(r.clients), *server[ours].shape)
                    similar = method.similarities(params[ours], last)  # type: ignore[attr-defined]
                    expected = case.group(f"expected.{index}.")
                    golden = expected[f"similarity.{theirs}"]
                    # Of the least alike the format does not say which sign it has.
                    same = bool((similar * golden).sum() > 0) or case.settings["highest"]
                    close(f"similarity of {theirs}", similar if same else -similar, golden)
                    if f"probability.{theirs}" in expected:
                        found = method.probabilities(similar)  # type: ignore[attr-defined]
                        wanted = expected[f"probability.{theirs}"]
                        close(f"probability of {theirs}", found, wanted)
                    if not case.settings["probabilistic"]:
                        best = similar.topk(len(chosen[theirs][0])).indices
                        assert torch.equal(best, chosen[theirs].long())
            server = method.aggregate(server, method.upload(params, r), r)
            after = method.merge(params, method.download(server, everyone))
            for theirs, ours in kinds.items():
                expected = case.group(f"expected.{index}.")
                close(f"server's {theirs}", server[ours], expected[f"server.{theirs}"])
                close(f"next {theirs}", after[ours], expected[f"next.{theirs}"])


class PFedMMA(Adapter):
    method = "pfedmma"
    settings = {
        "adapter_start": "first",
        "adapter_end": "last",
        "adapter_dim": "dim",
        "adapter_scale": "kappa",
        "text_words": "words",
    }
    PARTS = {
        "text_down": "text_adapter.{}.down.0.weight",
        "text_down_bias": "text_adapter.{}.down.0.bias",
        "text_up": "text_adapter.{}.up.weight",
        "text_up_bias": "text_adapter.{}.up.bias",
        "image_down": "visual_adapter.{}.down.0.weight",
        "image_down_bias": "visual_adapter.{}.down.0.bias",
        "image_up": "visual_adapter.{}.up.weight",
        "image_up_bias": "visual_adapter.{}.up.bias",
        "shared": "shared_adapter.{}.0.weight",
        "shared_bias": "shared_adapter.{}.0.bias",
    }
    last = 2

    def ours(self, golden: Tensors) -> Tensors:
        places = sorted({int(name.split(".")[1]) for name in golden})
        self.first = places[0]
        return {
            ours: torch.stack([golden[theirs.format(i)] for i in places])
            for ours, theirs in self.PARTS.items()
        }

    def theirs(self, ours: Tensors) -> Tensors:
        return {
            self.PARTS[name].format(self.first + i): each
            for name, value in ours.items()
            for i, each in enumerate(value)
        }

    def compared(self, s: Setting) -> dict[str, Tensor]:
        images = s.method.images(s.params, s.batch(), s.task)  # type: ignore[attr-defined]
        return {
            "text_features": s.method.encode(s.params, s.task)["t"][PLACE],
            "image_features": images[PLACE, : len(s.case.of("input.labels"))],
        }


class FedMVP(Adapter):
    method = "fedmvp"
    settings = {"alpha": "alpha", "tokens": "tokens", "cross_heads": "heads", "ff_mult": "ff_mult"}
    terms = {"ce": ("ce", ""), "consistency": ("consistency", "alpha")}
    ATTENTION, FF = "crossattn.cross_attend_blocks.0.", "crossattn.cross_attend_blocks.1.net."
    names = {
        "linear.weight": "linear",
        "linear.bias": "linear_bias",
        f"{ATTENTION}norm.weight": "norm",
        f"{ATTENTION}norm.bias": "norm_bias",
        f"{ATTENTION}norm_context.weight": "norm_context",
        f"{ATTENTION}norm_context.bias": "norm_context_bias",
        f"{ATTENTION}fn.in_proj_weight": "qkv",
        f"{ATTENTION}fn.in_proj_bias": "qkv_bias",
        f"{ATTENTION}fn.out_proj.weight": "out",
        f"{ATTENTION}fn.out_proj.bias": "out_bias",
        f"{FF}0.weight": "ff_norm",
        f"{FF}0.bias": "ff_norm_bias",
        f"{FF}1.weight": "ff_w1",
        f"{FF}1.bias": "ff_b1",
        f"{FF}3.weight": "ff_w2",
        f"{FF}3.bias": "ff_b2",
    }

    def templates(self, case: Case) -> list[str]:
        texts = case.settings["descriptions"]
        assert isinstance(texts, list)
        return texts

    def drawn(self, case: Case, purpose: str, step: int) -> Tensor:
        return case.of(f"input.{purpose}")[step]

    def check(self, s: Setting, close: Close) -> None:
        wanted = s.case.of("input.description_features").flatten(0, 1)
        close("features of the descriptions", s.fixed["sentences"][PLACE], wanted)


TOWERS: dict[str, Adapter] = {
    "vpt": VPT(),
    "ivlp": IVLP(),
    "promptsrc": PromptSRC(),
    "maple": MaPLe(),
    "plotpp": PLOTpp(),
    "fedmgp": FedMGP(),
    "pfedmma": PFedMMA(),
    "fedmvp": FedMVP(),
}
