"""What training code wraps round a CLIP's weights: dictionaries in dictionaries, and prefixes of
modules that hold the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from fplbench.errors import UserError

# Parts of a name that only say how a module was wrapped: compiled, parallel, sharded, recomputed.
SHELLS = frozenset(
    {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module"}
)
# Every form of a CLIP has the first at its top; without it, one of these tells where the top is.
TOPS = (
    "logit_scale",
    "visual.conv1.weight",
    "visual.class_embedding",
    "vision_model.embeddings.class_embedding",
    "positional_embedding",
    "text_projection",
    "visual.trunk.",
)
BESIDE = ("n_averaged",)  # torch's counter beside averaged weights
DEEPEST = 8
SHOWN = 3

StateDict = dict[str, Tensor]


def unwrapped(content: Mapping[object, object], path: Path) -> tuple[StateDict, tuple[str, ...]]:
    """A CLIP's tensors by the names that they have in the model alone, and what a record should
    say of those that were left aside.

    What is in a dictionary in the dictionary has its key before its name; of all prefixes the one
    counts behind which a CLIP's names are. UserError: there are no tensors, or two models.
    """
    named: StateDict = {}
    depth: dict[str, int] = {}
    for name, value, deep in _flat(content, ()):
        if name in named:
            raise no_checkpoint(path, f"{name} is there twice, wrapped in different ways")
        named[name], depth[name] = value, deep
    if not named:
        raise no_checkpoint(path, "it holds no tensors")
    tops = _tops(named)
    if len(tops) > 1:
        one = named_prefix(tops[0])
        shown = ", ".join(named_prefix(top) for top in tops[:SHOWN])
        if not _same(named, tops):
            raise UserError(
                f"{path} holds {len(tops)} models, named {shown}, and nothing says which one is "
                f"meant: save one alone, such as the names behind {one}"
            )
    prefix = tops[0] if tops else ""
    mine = [name for name in named if name.startswith(prefix)]
    # A model is one dictionary, unless its towers are kept apart.
    level = min((depth[name] for name in mine), default=0)
    flat = [name for name in mine if depth[name] == level]
    mine = flat if len(flat) > 1 else mine
    mine = [name for name in mine if name.removeprefix(prefix) not in BESIDE]
    found = {name.removeprefix(prefix): named[name] for name in mine}
    aside = sorted(named.keys() - set(mine))
    if not aside or len(tops) > 1:
        return found, ()
    more = f" and {len(aside) - SHOWN} more" if len(aside) > SHOWN else ""
    return found, (
        f"of {path} the names behind {named_prefix(prefix)} were taken, and left aside "
        f"{', '.join(aside[:SHOWN])}{more}",
    )


def named_prefix(prefix: str) -> str:
    """A prefix as a sentence has it."""
    return f"{prefix!r}" if prefix else "no prefix"


def _flat(
    content: Mapping[object, object], above: tuple[str, ...], deep: int = 0
) -> Iterator[tuple[str, Tensor, int]]:
    """Every tensor with its name and how many dictionaries it is in."""
    for key, value in content.items():
        steps = (*above, *(part for part in str(key).split(".") if part not in SHELLS))
        if isinstance(value, Tensor):
            yield ".".join(steps), value, deep
        elif isinstance(value, Mapping) and deep < DEEPEST:
            yield from _flat(value, steps, deep + 1)


def _tops(named: Mapping[str, Tensor]) -> list[str]:
    """The prefixes behind which a CLIP's names begin, the shortest first."""
    for top in TOPS:
        found = {
            name[: name.index(top)]
            for name in named
            if name.startswith(top) or f".{top}" in name
            if top.endswith(".") or name == top or name.endswith(f".{top}")
        }
        # An optimizer has its tensors by number, and none of a CLIP's others beside it.
        whole = {prefix for prefix in found if _count(named, prefix) > 1}
        if whole or found:
            return sorted(whole or found, key=lambda prefix: (len(prefix), prefix))
    return []


def _count(named: Mapping[str, Tensor], prefix: str) -> int:
    return sum(name.startswith(prefix) for name in named)


def _same(named: Mapping[str, Tensor], tops: list[str]) -> bool:
    """Whether all of these models have the same tensors, as tied copies have."""
    first, *others = (
        {name.removeprefix(top): each for name, each in named.items() if name.startswith(top)}
        for top in tops
    )
    return all(
        other.keys() == first.keys()
        and all(torch.equal(other[name], value) for name, value in first.items())
        for other in others
    )


def no_checkpoint(path: Path, why: str) -> UserError:
    return UserError(
        f"{path} is no checkpoint that can be loaded safely ({why}): give a safetensors file, a "
        "plain state dict saved by torch.save or OpenAI's own archive"
    )
