"""A backbone comes from its name, and weights that cannot be had end in one sentence."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import huggingface_hub.constants
import open_clip
import pytest
import torch
from open_clip.model import CLIP
from safetensors.torch import save_file
from small_clip import far
from torch import Tensor

from fplbench.clip.backbone import Backbone, fingerprint
from fplbench.errors import UserError
from fplbench.features.backbones import load

ARCH = "fplbench-small"
CONFIG = {
    "embed_dim": 12,
    "vision_cfg": {
        "image_size": 16,
        "patch_size": 8,
        "width": 16,
        "layers": 1,
        "head_width": 8,
    },
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 8, "heads": 2, "layers": 1},
}


@pytest.fixture(autouse=True)
def _architecture(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small architecture that open_clip knows, while a test runs."""
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, ARCH, CONFIG)


def small_model(quick_gelu: bool = False) -> CLIP:
    torch.manual_seed(3)
    model: CLIP = open_clip.create_model(ARCH, force_quick_gelu=quick_gelu)
    return model.eval()


def assert_same_features(backbone: Backbone, model: CLIP) -> None:
    pixels = torch.randn(2, 3, 16, 16)
    texts = ["a photo of a cat.", "two dogs"]
    assert far(backbone.images(pixels).pooled, model.encode_image(pixels)) < 1e-6
    tokens = open_clip.SimpleTokenizer()(texts)
    assert far(backbone.text.encode_texts(texts), model.encode_text(tokens)) < 1e-5
    assert float(backbone.logit_scale) == pytest.approx(float(model.logit_scale.detach().exp()))


def as_openai(model: CLIP, folder: Path) -> Path:
    """Half precision and three numbers beside the weights, as in OpenAI's archives."""
    half = {name: value.half() for name, value in model.state_dict().items()}
    model.load_state_dict({name: value.float() for name, value in half.items()})
    marks = {"input_resolution": 16, "context_length": 77, "vocab_size": 49408}
    path = folder / "weights.pt"
    torch.save(half | {name: torch.tensor(value) for name, value in marks.items()}, path)
    return path


def as_training_checkpoint(model: CLIP, folder: Path) -> Path:
    weights = {f"module.{name}": value for name, value in model.state_dict().items()}
    path = folder / "epoch_3.pt"
    torch.save({"epoch": 3, "name": "run", "state_dict": weights}, path)
    return path


def as_safetensors(model: CLIP, folder: Path) -> Path:
    path = folder / "weights.safetensors"
    save_file(model.state_dict(), path)
    return path


@pytest.mark.parametrize("save", [as_training_checkpoint, as_safetensors])
def test_a_checkpoint_gives_the_features_of_the_model_it_came_from(
    save: object, tmp_path: Path
) -> None:
    model = small_model()
    path = save(model, tmp_path)  # type: ignore[operator]
    assert_same_features(load(f"{ARCH}:{path}"), model)


def test_openai_weights_mean_quick_gelu(tmp_path: Path) -> None:
    model = small_model(quick_gelu=True)
    backbone = load(f"{ARCH}:{as_openai(model, tmp_path)}")
    assert_same_features(backbone, model)
    assert all(value.dtype == torch.float32 for value in backbone.model.parameters())


def test_a_flattened_text_tower_fits_a_model_that_keeps_it_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = small_model()
    path = as_safetensors(model, tmp_path)
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, ARCH, CONFIG | {"custom_text": True})
    assert_same_features(load(f"{ARCH}:{path}"), model)


def test_a_backbone_is_frozen_and_random_weights_are_the_same_each_time() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = load(f"{ARCH}:random")
    assert torch.equal(before, torch.get_rng_state())
    two = load(f"{ARCH}:random")
    assert one.fingerprint == two.fingerprint
    assert not any(value.requires_grad for value in one.model.parameters())
    assert not one.model.training
    assert one.image_size == (16, 16)
    assert one.embed_dim == 12
    assert one.logit_bias is None


def test_the_preprocessing_is_told_in_words_without_addresses() -> None:
    backbone = load(f"{ARCH}:random")
    assert "Resize(size=16" in backbone.preprocess_id
    assert "0x" not in backbone.preprocess_id


def test_the_fingerprint_changes_with_a_weight_a_name_and_the_activation() -> None:
    model = small_model()
    first = fingerprint(model, arch=ARCH, quick_gelu=False)
    assert first == fingerprint(model, quick_gelu=False, arch=ARCH)
    seen = {first, fingerprint(model, arch=ARCH, quick_gelu=True)}
    seen.add(fingerprint(model, arch="other", quick_gelu=False))
    model.visual.conv1.weight.data[0, 0, 0, 0] += 1e-6
    seen.add(fingerprint(model, arch=ARCH, quick_gelu=False))
    assert len(seen) == 4


def refusal(name: str) -> str:
    with pytest.raises(UserError) as caught:
        load(name)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert len(sentence) < 500
    return sentence


def test_a_wrong_architecture_suggests_the_nearest() -> None:
    assert "did you mean 'ViT-B-16'" in refusal("VIT-B16:openai")
    assert "give tiny, ARCH:TAG" in refusal("nothing like it")


def test_a_missing_or_wrong_tag_suggests_the_nearest() -> None:
    assert "lacks its weights: add a tag (openai," in refusal("ViT-B-16")
    assert "did you mean 'openai'" in refusal("ViT-B-16:opnai")


def test_weights_that_cannot_be_downloaded_say_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    sentence = refusal("ViT-B-32:openai")
    assert sentence.startswith("the weights ViT-B-32:openai could not be loaded or downloaded (")
    assert "give a file as ViT-B-32:PATH" in sentence


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "No such file" in refusal(f"{ARCH}:{tmp_path}/none.pt")
    assert "Is a directory" in refusal(f"{ARCH}:{tmp_path}/")


@pytest.mark.parametrize(
    "content", [b"", b"hello, this is a text", b"PK\x03\x04 not a zip", b"\xff" * 8 + b"{}"]
)
def test_a_file_that_is_no_checkpoint_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    assert f"{path} is no checkpoint that can be loaded safely" in refusal(f"{ARCH}:{path}")


@pytest.mark.parametrize("content", [[1, 2], {"a": 1}, {}, torch.zeros(2)], ids=repr)
def test_a_file_without_named_tensors_is_named(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "weights.pt")
    assert "is no checkpoint" in refusal(f"{ARCH}:{tmp_path / 'weights.pt'}")


def test_weights_of_another_shape_say_which(tmp_path: Path) -> None:
    weights: dict[str, Tensor] = dict(small_model().state_dict())
    weights["visual.proj"] = torch.zeros(16, 5)
    weights["extra"] = torch.zeros(1)
    del weights["ln_final.weight"]
    save_file(weights, tmp_path / "weights.safetensors")
    sentence = refusal(f"{ARCH}:{tmp_path / 'weights.safetensors'}")
    assert "visual.proj is [16, 5] instead of [16, 12]" in sentence
    assert "extra is not known" in sentence
    assert "ln_final.weight is missing" in sentence


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("way", ["torch", "pickle"])
def test_nothing_in_a_checkpoint_is_run(way: str, tmp_path: Path) -> None:
    path, trace = tmp_path / "weights.pt", tmp_path / "was_run"
    if way == "torch":
        torch.save({"state_dict": Trap(trace)}, path)
    else:
        path.write_bytes(pickle.dumps({"state_dict": Trap(trace)}))
    assert "is no checkpoint that can be loaded safely" in refusal(f"{ARCH}:{path}")
    assert not trace.exists()


def test_the_embedded_backbone_loads() -> None:
    backbone = load("tiny")
    assert backbone.has_patches
    assert backbone.text.encode_texts(["a red star."]).shape == (1, backbone.embed_dim)
