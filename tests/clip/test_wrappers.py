"""Checkpoints as people's training code leaves them, alone and nested at random."""

from __future__ import annotations

import contextlib
import functools
import json
import warnings
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from fuzz import for_minutes, for_seconds
from hypothesis import strategies as st
from safetensors.torch import save
from torch import Tensor, nn

from fplbench.clip.checkpoint import read_weights
from fplbench.clip.wrappers import unwrapped
from fplbench.errors import UserError

WEIGHTS = {
    "logit_scale": torch.tensor(4.6),
    "positional_embedding": torch.arange(6.0).reshape(3, 2),
    "visual.conv1.weight": torch.ones(2, 3),
    "visual.transformer.resblocks.0.attn.in_proj_weight": torch.zeros(6, 2),
}
SHELLS = ["module", "_orig_mod", "_fsdp_wrapped_module"]
PREFIXES = [*SHELLS, "clip_model", "model", "clip", "backbone", "net.encoder"]
KEYS = ["model", "state_dict", "model_state_dict", "checkpoint", "weights", "ema"]
PATH = Path("w.pt")


def prefixed(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": value for name, value in weights.items()}


def is_ours(found: dict[str, Tensor]) -> bool:
    return found.keys() == WEIGHTS.keys() and all(
        torch.equal(found[name], value) for name, value in WEIGHTS.items()
    )


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("prefix", ["", *PREFIXES, "module._orig_mod", "_orig_mod.module.model"])
def test_a_wrapper_and_a_prefix_are_taken_off(key: str, prefix: str) -> None:
    weights = prefixed(WEIGHTS, prefix) if prefix else WEIGHTS
    for content in (weights, {key: weights, "epoch": 3}, {"a": {key: weights}, "lr": 0.1}):
        found, notes = unwrapped(content, PATH)  # type: ignore[arg-type]
        assert is_ours(found)
        assert notes == ()


def test_a_tower_alone_may_be_wrapped() -> None:
    names = {name.replace("visual.", "visual._orig_mod.module."): v for name, v in WEIGHTS.items()}
    assert is_ours(unwrapped(names, PATH)[0])


def test_what_lies_beside_the_model_is_said() -> None:
    content = {
        "state_dict": prefixed(WEIGHTS, "model") | {"head.weight": torch.ones(2)},
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(2)}}},
    }
    found, (note,) = unwrapped(content, PATH)
    assert is_ours(found)
    assert "'state_dict.model.' were taken, and left aside optimizer.state.0.exp_avg" in note
    assert unwrapped({"n_averaged": torch.tensor(3), **prefixed(WEIGHTS, "module")}, PATH)[1] == (
        "of w.pt the names behind no prefix were taken, and left aside n_averaged",
    )


def test_two_models_are_refused_and_two_copies_of_one_are_not() -> None:
    other = {name: value + 1 for name, value in WEIGHTS.items()}
    with pytest.raises(UserError, match=r"holds 2 models, named 'ema\.', 'model\.'"):
        unwrapped({"model": WEIGHTS, "ema": other}, PATH)
    assert is_ours(unwrapped({"model": WEIGHTS, "ema": dict(WEIGHTS)}, PATH)[0])


def test_one_name_in_two_wrappers_is_refused() -> None:
    with pytest.raises(UserError, match="logit_scale is there twice"):
        unwrapped(WEIGHTS | prefixed(WEIGHTS, "module"), PATH)


@pytest.mark.parametrize("content", [{"epoch": 3}, {"a": {"b": [torch.ones(2)]}}])
def test_what_holds_no_tensors_is_refused(content: dict[Any, Any]) -> None:
    with pytest.raises(UserError, match="it holds no tensors"):
        unwrapped(content, PATH)


@st.composite
def nested(draw: st.DrawFn) -> dict[Any, Any]:
    """The weights behind any prefixes, in any dictionaries, beside anything."""
    content: dict[Any, Any] = OrderedDict(WEIGHTS) if draw(st.booleans()) else dict(WEIGHTS)
    for how in draw(st.lists(st.sampled_from(["prefix", "key", "beside"]), max_size=6)):
        if how == "prefix" and all(isinstance(value, Tensor) for value in content.values()):
            content = prefixed(content, draw(st.sampled_from(PREFIXES)))
        elif how == "key":
            content = {draw(st.sampled_from(KEYS)): content}
        else:
            name = draw(st.sampled_from(["epoch", "args", "optimizer", 7, "head"]))
            beside = draw(
                st.sampled_from([3, "x", None, [1], {"lr": 0.1}, {0: {"exp_avg": torch.ones(1)}}])
            )
            content = {**content, name: beside}
    return content


def check_nested(content: dict[Any, Any]) -> None:
    assert is_ours(unwrapped(content, PATH)[0])


def archive() -> bytes:
    """As torch.jit.save writes it."""
    import io

    class Bare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.logit_scale = nn.Parameter(torch.tensor(4.6))
            self.visual = nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            return x

    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(Bare()), buffer)
    return buffer.getvalue()


@functools.cache
def samples() -> dict[str, bytes]:
    import io

    found = {"safetensors": save(WEIGHTS), "jit": archive()}
    for name, content in (("plain", WEIGHTS), ("nested", {"model": WEIGHTS, "epoch": 1})):
        buffer = io.BytesIO()
        torch.save(content, buffer)
        found[name] = buffer.getvalue()
    old = io.BytesIO()
    torch.save(WEIGHTS, old, _use_new_zipfile_serialization=False)
    return found | {"old": old.getvalue()}


@st.composite
def damaged(draw: st.DrawFn) -> tuple[bytes, str]:
    """A file with bytes changed, and what its config.json says."""
    content = bytearray(samples()[draw(st.sampled_from(sorted(samples())))])
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(content) - 1)))
        content[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    config = draw(st.sampled_from(["", "{}", "[]", '{"text_config": 3}', "{", "null"]))
    return bytes(content), config


def check_file(folder: Path, example: tuple[bytes, str]) -> None:
    (folder / "w.pt").write_bytes(example[0])
    for name in ("config.json", "open_clip_config.json"):
        (folder / name).write_text(example[1] or "{}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.suppress(UserError):
            found = read_weights(folder / "w.pt")
            assert all(isinstance(value, Tensor) for value in found.tensors.values())


def test_any_nest_of_wrappers_is_seen_through() -> None:
    for_seconds(nested(), check_nested)


def test_a_damaged_file_is_one_sentence(tmp_path: Path) -> None:
    for name, content in samples().items():
        check_file(tmp_path, (content, "{}"))
        assert "logit_scale" in read_weights(tmp_path / "w.pt").tensors, name
    for_seconds(damaged(), functools.partial(check_file, tmp_path))


@pytest.mark.slow
def test_wrappers_and_damaged_files_for_long(tmp_path: Path) -> None:
    both = st.one_of(
        nested().map(lambda content: (check_nested, content)),
        damaged().map(lambda example: (functools.partial(check_file, tmp_path), example)),
    )
    assert for_minutes(both, lambda each: each[0](each[1])) > 0


def test_weights_of_transformers_that_do_not_fit_one_another(tmp_path: Path) -> None:
    layer = "vision_model.encoder.layers.0.self_attn"
    parts = {f"{layer}.{c}_proj.weight": torch.ones(2, 2 + (c == "k")) for c in "qkv"}
    torch.save({"model": parts | {"logit_scale": torch.tensor(1.0)}}, tmp_path / "w.pt")
    (tmp_path / "config.json").write_text(json.dumps({"vision_config": []}))
    with pytest.raises(UserError, match="do not fit one another"):
        read_weights(tmp_path / "w.pt")
