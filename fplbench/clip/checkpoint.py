"""Weights from a file, without running anything that is in it."""

from __future__ import annotations

import pickle
import warnings
from dataclasses import replace
from pathlib import Path

import torch
from open_clip.model import CLIP, CustomTextCLIP, convert_to_custom_text_state_dict
from safetensors.torch import load_file

from fplbench.clip import torchscript
from fplbench.clip.forms import StateDict, Weights, recognised
from fplbench.clip.wrappers import no_checkpoint, unwrapped
from fplbench.errors import UserError


def read_weights(path: Path) -> Weights:
    """The weights under open_clip's names, and the activation where the file tells.

    A safetensors file; a state dict saved by torch.save, alone or in what training code wraps
    round it (wrappers.py); a TorchScript archive as OpenAI's. UserError: there is no such file, or
    it holds something else.
    """
    try:
        content = _read(path)
    except OSError as error:
        raise UserError(
            f"the checkpoint {path} cannot be read ({error.strerror or error}): check the path"
        ) from error
    if not isinstance(content, dict) or not content:
        raise no_checkpoint(path, f"it holds a {type(content).__name__}, not named tensors")
    weights, notes = unwrapped(content, path)
    return replace(recognised(weights, path), notes=notes)


def _read(path: Path) -> object:
    with path.open("rb") as file:
        start = file.read(9)
    if start[8:] == b"{":  # safetensors: the length of a JSON header, then the header
        try:
            return load_file(path)
        # Its own error, and others for types and sizes that no tensor has.
        except Exception as error:
            raise no_checkpoint(path, reason(error)) from error
    if start[:2] == b"PK" and torchscript.is_archive(path):
        try:
            return torchscript.tensors(path)
        except pickle.UnpicklingError as error:
            raise no_checkpoint(path, f"a TorchScript archive, {reason(error)}") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on pickle protocols; we say it ourselves
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a file of another kind makes the unpickler fail in any way
        raise no_checkpoint(
            path, "neither safetensors nor a file of torch.save with nothing but tensors"
        ) from error


def reason(error: BaseException) -> str:
    """An exception's message as part of a sentence."""
    message = str(error).strip() or type(error).__name__
    first = message.splitlines()[0].rstrip(".:")
    return first if len(first) <= 160 else first[:157] + "..."


def put_weights(model: CLIP | CustomTextCLIP, weights: StateDict, path: Path, arch: str) -> None:
    """Load weights into a model of that architecture. UserError: they are not its weights."""
    if "positional_embedding" in weights and not hasattr(model, "positional_embedding"):
        weights = convert_to_custom_text_state_dict(weights)
    wanted = model.state_dict()
    for scalar in {"logit_scale", "logit_bias"} & weights.keys() & wanted.keys():
        if weights[scalar].numel() == 1:  # a number in one version is [1] in another
            weights[scalar] = weights[scalar].reshape(wanted[scalar].shape)
    problems = [f"{name} is missing" for name in wanted.keys() - weights.keys()]
    problems += [f"{name} is not known" for name in weights.keys() - wanted.keys()]
    problems += [
        f"{name} is {list(weights[name].shape)} instead of {list(wanted[name].shape)}"
        for name in wanted.keys() & weights.keys()
        if weights[name].shape != wanted[name].shape
    ]
    problems += [
        f"{name} holds {weights[name].dtype} instead of floating-point numbers"
        for name in wanted.keys() & weights.keys()
        if wanted[name].is_floating_point() and not weights[name].is_floating_point()
    ]
    if problems:
        problems.sort()
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise UserError(
            f"the weights in {path} do not fit {arch} ({', '.join(problems[:3])}{more}): name the "
            "architecture that they were saved from"
        )
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:  # tensors without contents, or of a layout that is not dense
        raise no_checkpoint(path, reason(error)) from error
