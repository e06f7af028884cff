"""Random weights saved in every form that CLIP's come in give open_clip's own features."""

from __future__ import annotations

import json
import os
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from open_clip.model import CLIP
from plain_patches import resnet_patches, vit_patches
from safetensors.torch import save_file
from small_clip import far
from torch import Tensor, nn

from fplbench.clip.backbone import Backbone
from fplbench.errors import UserError
from fplbench.features.backbones import load

TEXT = {"context_length": 77, "vocab_size": 49408, "width": 8, "heads": 2, "layers": 2}
VIT = {"image_size": 16, "patch_size": 8, "width": 16, "layers": 2, "head_width": 8}
RESNET = {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None}
CONFIGS = {
    "fplbench-vit": {"embed_dim": 12, "vision_cfg": VIT, "text_cfg": TEXT},
    "fplbench-resnet": {"embed_dim": 12, "vision_cfg": RESNET, "text_cfg": TEXT},
    "fplbench-general": {
        "embed_dim": 64,
        "init_logit_bias": -10,
        "custom_text": True,
        "vision_cfg": {
            "image_size": 160,
            "timm_model_name": "test_vit",
            "timm_model_pretrained": False,
            "timm_pool": "map",
            "timm_proj": "none",
        },
        "text_cfg": {
            "context_length": 24,
            "vocab_size": 49408,
            "width": 64,
            "heads": 2,
            "layers": 2,
            "no_causal_mask": True,
            "proj_bias": True,
            "pool_type": "last",
            "norm_kwargs": {"eps": 1e-6},
        },
    },
}
TEXTS = ["a photo of a cat.", "two dogs", "a photo of a hard-leaved pocket orchid, a flower."]
HALF = [0.5, 0.5, 0.5]
Save = Callable[[CLIP, Path], Path]


@pytest.fixture(autouse=True)
def _architectures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small architectures that open_clip knows, while a test runs."""
    for name, config in CONFIGS.items():
        monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, name, config)
        quick = config | {"quick_gelu": True}
        monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, f"{name}-quickgelu", quick)


def random_model(arch: str, quick_gelu: bool = False) -> Any:
    """Frozen, with nothing at its initial 0 or 1, where an error would not show."""
    torch.manual_seed(5)
    model = open_clip.create_model(arch, force_quick_gelu=quick_gelu, pretrained_text=False)
    for value in (*model.parameters(), *model.buffers()):
        if value.is_floating_point() and value.isfinite().all():
            value.data += 0.02 * torch.rand(value.shape)
    return model.eval().requires_grad_(False)


def rounded(model: CLIP) -> dict[str, Tensor]:
    """Its weights in half precision, as OpenAI's are, which the model has from now on too."""
    half = {k: v.half() if v.is_floating_point() else v for k, v in model.state_dict().items()}
    model.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in half.items()})
    return half


def marks(model: CLIP) -> dict[str, Tensor]:
    size, length = model.visual.image_size, model.context_length
    size = size if isinstance(size, int) else size[0]
    about = {"input_resolution": size, "context_length": length, "vocab_size": 49408}
    return {name: torch.tensor(value) for name, value in about.items()}


def openai_state(model: CLIP, folder: Path) -> Path:
    path = folder / "weights.pt"
    torch.save(rounded(model) | marks(model), path)
    return path


class Bare(nn.Module):
    """A module with these weights and no computation: what OpenAI's archives hold for us."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        super().__init__()
        parts = {name.partition(".")[0] for name in weights}
        for part in parts:
            if part in weights:
                self.register_buffer(part, weights[part])
                continue
            inner = {
                name.partition(".")[2]: value
                for name, value in weights.items()
                if name.startswith(f"{part}.")
            }
            self.add_module(part, Bare(inner))

    def forward(self, x: Tensor) -> Tensor:
        return x


def openai_archive(model: CLIP, folder: Path) -> Path:
    path = folder / "ViT-B-16.pt"
    bare = Bare(rounded(model) | marks(model))
    torch.jit.save(torch.jit.script(bare), path)
    return path


def traced_archive(model: CLIP, folder: Path) -> Path:
    """Traced with its computations, as OpenAI's were."""
    for name, value in marks(model).items():
        if not hasattr(model, name):
            model.register_buffer(name, value)
    path = folder / "traced.pt"
    if not isinstance(model.visual.image_size, int):  # which trace_model expects
        model.visual.image_size = model.visual.image_size[0]
    traced = open_clip.trace_model(model, batch_size=2)
    torch.jit.save(traced, path)
    for name in marks(model):
        if name in model._buffers:
            del model._buffers[name]
    return path


def open_clip_hub(model: CLIP, folder: Path) -> Path:
    path = folder / "open_clip_model.safetensors"
    save_file(model.state_dict(), path)
    about = {
        "model_cfg": {"embed_dim": 12, "quick_gelu": _is_quick(model)},
        "preprocess_cfg": {"mean": HALF, "std": HALF, "resize_mode": "squash"},
    }
    (folder / "open_clip_config.json").write_text(json.dumps(about))
    return path


def transformers_hub(model: CLIP, folder: Path) -> Path:
    """What transformers' CLIPModel saves, written down here from its side."""
    ours, theirs = model.state_dict(), dict[str, Tensor]()
    towers = {"text_model": "transformer", "vision_model": "visual.transformer"}
    for tower, stem in towers.items():
        for layer in range(2):
            source, target = f"{stem}.resblocks.{layer}", f"{tower}.encoder.layers.{layer}"
            for end in ("weight", "bias"):
                q, k, v = ours[f"{source}.attn.in_proj_{end}"].chunk(3)
                for name, value in {"q": q, "k": k, "v": v}.items():
                    theirs[f"{target}.self_attn.{name}_proj.{end}"] = value.contiguous()
                theirs[f"{target}.self_attn.out_proj.{end}"] = ours[f"{source}.attn.out_proj.{end}"]
                theirs[f"{target}.layer_norm1.{end}"] = ours[f"{source}.ln_1.{end}"]
                theirs[f"{target}.layer_norm2.{end}"] = ours[f"{source}.ln_2.{end}"]
                theirs[f"{target}.mlp.fc1.{end}"] = ours[f"{source}.mlp.c_fc.{end}"]
                theirs[f"{target}.mlp.fc2.{end}"] = ours[f"{source}.mlp.c_proj.{end}"]
    for end in ("weight", "bias"):
        theirs[f"text_model.final_layer_norm.{end}"] = ours[f"ln_final.{end}"]
        theirs[f"vision_model.pre_layrnorm.{end}"] = ours[f"visual.ln_pre.{end}"]
        theirs[f"vision_model.post_layernorm.{end}"] = ours[f"visual.ln_post.{end}"]
    embeddings = "vision_model.embeddings"
    theirs["text_model.embeddings.token_embedding.weight"] = ours["token_embedding.weight"]
    theirs["text_model.embeddings.position_embedding.weight"] = ours["positional_embedding"]
    theirs["text_model.embeddings.position_ids"] = torch.arange(77)[None]
    theirs[f"{embeddings}.class_embedding"] = ours["visual.class_embedding"]
    theirs[f"{embeddings}.patch_embedding.weight"] = ours["visual.conv1.weight"]
    theirs[f"{embeddings}.position_embedding.weight"] = ours["visual.positional_embedding"]
    theirs["visual_projection.weight"] = ours["visual.proj"].T.contiguous()
    theirs["text_projection.weight"] = ours["text_projection"].T.contiguous()
    theirs["logit_scale"] = ours["logit_scale"]
    path = folder / "model.safetensors"
    save_file(theirs, path)
    act = "quick_gelu" if _is_quick(model) else "gelu"
    about = {"text_config": {"hidden_act": act}, "vision_config": {"hidden_act": act}}
    (folder / "config.json").write_text(json.dumps(about))
    images = {"image_mean": HALF, "image_std": HALF, "resample": 2}
    (folder / "preprocessor_config.json").write_text(json.dumps(images))
    return path


def _is_quick(model: CLIP) -> bool:
    return type(model.transformer.resblocks[0].mlp.gelu).__name__ == "QuickGELU"


def assert_same(backbone: Backbone, model: Any, images: int = 2) -> Tensor:
    """Pooled image and text features; returns the pixels."""
    size = model.visual.image_size
    size = size if isinstance(size, int) else size[0]
    x = torch.randn(images, 3, size, size, generator=torch.Generator().manual_seed(1))
    length = backbone.text.context_length
    tokens = open_clip.SimpleTokenizer(context_length=length)(TEXTS)
    assert far(backbone.images(x).pooled, model.encode_image(x)) < 1e-5
    assert far(backbone.text.encode_texts(TEXTS), model.encode_text(tokens)) < 1e-5
    assert float(backbone.logit_scale) == pytest.approx(float(model.logit_scale.exp()))
    return x


@pytest.mark.filterwarnings("ignore:.*torch.jit", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("save", [openai_state, openai_archive, traced_archive])
@pytest.mark.parametrize("arch", ["fplbench-vit", "fplbench-resnet"])
def test_openais_forms_mean_quick_gelu(arch: str, save: Save, tmp_path: Path) -> None:
    model = random_model(arch, quick_gelu=True)
    backbone = load(f"{arch}:{save(model, tmp_path)}")
    x = assert_same(backbone, model)
    assert backbone.notes == ()
    assert all(value.dtype == torch.float32 for value in backbone.model.parameters())
    plain = vit_patches if arch == "fplbench-vit" else resnet_patches
    patches = backbone.images(x, patches=True).patches
    assert patches is not None
    assert far(patches, plain(model.visual, x)) < 1e-5


@pytest.mark.parametrize("quick_gelu", [False, True])
@pytest.mark.parametrize("save", [open_clip_hub, transformers_hub])
def test_the_file_beside_the_weights_tells_their_activation(
    save: Save, quick_gelu: bool, tmp_path: Path
) -> None:
    model = random_model("fplbench-vit", quick_gelu)
    path = save(model, tmp_path)
    backbone = load(f"fplbench-vit:{path}")
    assert_same(backbone, model)
    assert backbone.notes == ()
    if quick_gelu:
        assert_same(load(f"fplbench-vit-quickgelu:{path}"), model)
    else:
        with pytest.raises(UserError, match=r"trained with GELU.*name fplbench-vit$"):
            load(f"fplbench-vit-quickgelu:{path}")


@pytest.mark.parametrize(
    ("save", "told"),
    [
        (open_clip_hub, ("mean=[0.5, 0.5, 0.5]", "bicubic")),
        (transformers_hub, ("mean=[0.5, 0.5, 0.5]", "bilinear")),
    ],
)
def test_the_file_beside_the_weights_tells_how_images_were_normalised(
    save: Save, told: tuple[str, ...], tmp_path: Path
) -> None:
    """Features from a file are those of the same weights from a tag, which has it of its own."""
    backbone = load(f"fplbench-vit:{save(random_model('fplbench-vit', False), tmp_path)}")
    for words in told:
        assert words in backbone.preprocess_id.replace("(0.5, 0.5, 0.5)", "[0.5, 0.5, 0.5]")


def test_weights_that_say_nothing_of_their_activation_leave_a_note(tmp_path: Path) -> None:
    model = random_model("fplbench-vit", quick_gelu=True)
    path = open_clip_hub(model, tmp_path)
    (tmp_path / "open_clip_config.json").unlink()
    images, activation = load(f"fplbench-vit:{path}").notes
    assert "nothing beside" in images
    assert "how its images were normalised" in images
    assert "fplbench-vit was taken to mean GELU" in activation
    named = load(f"fplbench-vit-quickgelu:{path}")
    assert named.notes == (images,)
    assert_same(named, model)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (None, "config.json, which tells the activation"),
        ("{", "cannot be read"),
        ('{"text_config": {"hidden_act": "gelu"}}', "names the activations gelu, quick_gelu"),
    ],
)
def test_transformers_weights_without_a_clear_activation_are_refused(
    config: str | None, said: str, tmp_path: Path
) -> None:
    path = transformers_hub(random_model("fplbench-vit"), tmp_path)
    (tmp_path / "config.json").unlink()
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    with pytest.raises(UserError, match=re.escape(said)):
        load(f"fplbench-vit:{path}")


def test_transformers_weights_of_another_model_are_refused_by_a_name(tmp_path: Path) -> None:
    theirs = {"vision_model.head.probe": torch.zeros(1), "logit_bias": torch.zeros(1)}
    save_file(theirs, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=r"not those of a CLIPModel \(it has logit_bias\)"):
        load(f"fplbench-vit:{tmp_path / 'model.safetensors'}")


def test_a_tower_of_siglips_kind_works_the_general_way(tmp_path: Path) -> None:
    model = random_model("fplbench-general")
    save_file(model.state_dict(), tmp_path / "open_clip_model.safetensors")
    backbone = load(f"fplbench-general:{tmp_path / 'open_clip_model.safetensors'}")
    assert_same(backbone, model)
    assert not backbone.text.causal
    names = backbone.text.tokenize(["cat", "hard-leaved pocket orchid"])
    # CLIP's tokenizer stands in for SigLIP's; with this pooling its [EOT] counts as a word.
    words = backbone.text.embed_words("a photo of a")[:4]
    assert not backbone.text.shares_prefix(words[None, None], "end")
    prompts = backbone.text.encode_prompts(words[None, None], names)[0, 0]
    texts = ["a photo of a cat.", "a photo of a hard-leaved pocket orchid."]
    assert far(prompts, backbone.text.encode_texts(texts)) < 1e-5
    with pytest.raises(UserError, match="TimmModel has no patch features"):
        backbone.images(torch.zeros(1, 3, 160, 160), patches=True)


def test_a_bias_beside_the_scale_changes_neither_loss_nor_answer() -> None:
    model = random_model("fplbench-general")
    cosines = torch.randn(7, 5, requires_grad=True)
    labels = torch.arange(7) % 5
    scaled = model.logit_scale.exp() * cosines
    losses = [nn.functional.cross_entropy(z, labels) for z in (scaled, scaled + model.logit_bias)]
    slopes = [torch.autograd.grad(loss, cosines, retain_graph=True)[0] for loss in losses]
    assert torch.allclose(losses[0], losses[1], atol=1e-5)
    assert torch.allclose(slopes[0], slopes[1], atol=1e-5)


def test_an_architecture_whose_tokenizer_needs_another_package_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="tokenizer of ViT-B-16-SigLIP is one of the package trans"):
        load("ViT-B-16-SigLIP:webli")


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.folder),)


def replaced(path: Path, name: str, content: bytes) -> Path:
    """The archive with another file of that name."""
    changed = path.with_name("changed.pt")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(changed, "w") as new:
        for each in old.namelist():
            new.writestr(each, content if each.endswith(f"/{name}") else old.read(each))
    return changed


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_nothing_in_an_archive_is_run(tmp_path: Path) -> None:
    path = openai_archive(random_model("fplbench-vit"), tmp_path)
    trace = tmp_path / "was_run"
    changed = replaced(path, "data.pkl", pickle.dumps(Trap(trace), protocol=2))
    with pytest.raises(UserError, match=r"it names \w+\.mkdir, which is no tensor"):
        load(f"fplbench-vit:{changed}")
    assert not trace.exists()


@pytest.mark.filterwarnings("ignore:.*torch.jit")
@pytest.mark.parametrize(("name", "content"), [("data.pkl", b"\x80\x02}"), ("0", b"\x00")])
def test_a_damaged_archive_is_named(name: str, content: bytes, tmp_path: Path) -> None:
    path = openai_archive(random_model("fplbench-vit"), tmp_path)
    with pytest.raises(UserError, match=r"a TorchScript archive, damaged: "):
        load(f"fplbench-vit:{replaced(path, name, content)}")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arch", "save", "quick_gelu"),
    [("ViT-B-16", openai_state, True), ("RN50", openai_state, True)],
)
def test_a_model_of_full_size(arch: str, save: Save, quick_gelu: bool, tmp_path: Path) -> None:
    model = random_model(arch, quick_gelu)
    backbone = load(f"{arch}:{save(model, tmp_path)}")
    x = assert_same(backbone, model)
    patches = backbone.images(x, patches=True).patches
    assert patches is not None
    assert patches.shape[1:] == {"ViT-B-16": (196, 512), "RN50": (49, 1024)}[arch]
    plain = vit_patches if arch == "ViT-B-16" else resnet_patches
    assert far(patches, plain(model.visual, x)) < 1e-5
