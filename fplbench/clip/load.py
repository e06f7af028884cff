"""A backbone from its name on the command line."""

from __future__ import annotations

import difflib
import importlib.util
import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeAlias

import open_clip
import torch
from open_clip.model import CLIP, CustomTextCLIP
from open_clip.transform import PreprocessCfg, image_transform_v2

from fplbench.clip import hub
from fplbench.clip.backbone import Backbone, freeze
from fplbench.clip.checkpoint import put_weights, read_weights, reason
from fplbench.clip.prompts import Tokenizer
from fplbench.errors import UserError
from fplbench.machine.paths import plain

Model: TypeAlias = CLIP | CustomTextCLIP


class Loaded(NamedTuple):
    """A model, whether its activation is QuickGELU, and what a record should say of it."""

    model: Model
    quick_gelu: bool
    notes: tuple[str, ...] = ()


FORMS = "ARCH:TAG (ViT-B-16:openai), ARCH:path/to/checkpoint or ARCH:random"
RANDOM_SEED = 0


def load(name: str, device: torch.device | str = "cpu", besides: Sequence[str] = ()) -> Backbone:
    """The frozen backbone of that name, in float32.

    ARCH:TAG: open_clip's pretrained weights, downloaded once. ARCH:PATH:
    a checkpoint in OpenAI's, open_clip's or transformers' form. ARCH:random: seeded random
    weights, to measure speed. besides: names of other backbones, which a misspelt one may mean.
    UserError: the weights cannot be had.
    """
    arch, colon, weights = name.partition(":")
    if arch not in open_clip.list_models():
        raise UserError(
            f"there is no backbone {name!r}{_nearest(arch, [*besides, *open_clip.list_models()])}: "
            f"give {', '.join([*besides, FORMS])}"
        )
    tags = open_clip.list_pretrained_tags_by_model(arch)
    if not colon or not weights:
        raise UserError(
            f"the backbone {name!r} lacks its weights: add a tag ({_some(tags)}), a checkpoint's "
            f"path or random, as in {arch}:{(tags or ['random'])[0]}"
        )
    there = os.path.isfile(os.path.expanduser(weights))
    known = weights in ("random", *tags) or there or _looks_like_path(weights)
    if not known:
        raise UserError(
            f"open_clip has no weights {weights!r} for {arch} and there is no such file"
            f"{_nearest(weights, tags)}: give a tag ({_some(tags)}), a checkpoint's path "
            "or random"
        )
    tokenizer = _tokenizer(arch)
    if weights == "random":
        loaded = _random(arch)
    elif weights in tags:
        loaded = _pretrained(arch, weights)
    else:
        loaded = _from_file(arch, Path(os.path.expanduser(weights)))
    return _finish(name, arch, loaded, tokenizer, device)


def plain_name(name: str) -> str:
    """The same backbone by one name, however the path of its checkpoint is written."""
    arch, _, weights = name.partition(":")
    if not os.path.isfile(os.path.expanduser(weights)) or arch not in open_clip.list_models():
        return name
    tags = open_clip.list_pretrained_tags_by_model(arch)
    return name if weights in ("random", *tags) else f"{arch}:{plain(weights)}"


def _finish(
    name: str, arch: str, loaded: Loaded, tokenizer: Tokenizer, device: torch.device | str
) -> Backbone:
    model = loaded.model
    preprocess = image_transform_v2(PreprocessCfg(**model.visual.preprocess_cfg), is_train=False)
    config = open_clip.get_model_config(arch) or {}
    return freeze(
        name,
        arch.removesuffix("-quickgelu"),
        model,
        tokenizer,
        preprocess,
        quick_gelu=loaded.quick_gelu or bool(config.get("quick_gelu", False)),
        device=device,
        notes=loaded.notes,
    )


def _tokenizer(arch: str) -> Tokenizer:
    """UserError: it needs a package or a file that is not here; said before any download."""
    text = (open_clip.get_model_config(arch) or {}).get("text_cfg", {})
    source = text.get("hf_tokenizer_name")
    if source and not importlib.util.find_spec("transformers"):
        raise UserError(
            f"the tokenizer of {arch} is one of the package transformers, which is not installed: "
            "pip install transformers, or choose a backbone with CLIP's own tokenizer"
        )
    with _sentence(f"the tokenizer of {arch} could not be had"):
        if source and hub.unreachable() is not None:
            with hub.offline():
                found: Tokenizer = open_clip.get_tokenizer(arch)
        else:
            found = open_clip.get_tokenizer(arch)
        return found


def _random(arch: str) -> Loaded:
    with torch.random.fork_rng(devices=[]), _sentence(f"{arch} could not be built"):
        torch.manual_seed(RANDOM_SEED)
        return Loaded(_create(arch, None, quick_gelu=False), False)


def _pretrained(arch: str, tag: str) -> Loaded:
    """open_clip's weights, from its cache or downloaded; QuickGELU if they were trained with it,
    as OpenAI's were."""
    about = open_clip.get_pretrained_cfg(arch, tag) or {}
    quick_gelu = tag == "openai" or bool(about.get("quick_gelu", False))
    what = f"the weights {arch}:{tag} could not be loaded or downloaded"
    if hub.kept(arch, tag) is None:
        why = hub.unreachable(arch, tag)
        if why is not None:
            raise UserError(f"{what} ({why}): {_without_network(arch, tag)}")
        with _sentence(what, _without_network(arch, tag)):
            hub.fetch(arch, tag)
    with hub.offline(), _sentence(what, f"delete them from {hub.hub_cache()} and run again"):
        return Loaded(_create(arch, tag, quick_gelu), quick_gelu)


def _without_network(arch: str, tag: str) -> str:
    archive = hub.openais_own(arch, tag)
    if archive is not None:
        return f"but OpenAI's own file is here, so give {arch}:{archive}"
    return f"connect to the network once so that they are kept, or give a file as {arch}:PATH"


def _from_file(arch: str, path: Path) -> Loaded:
    weights = read_weights(path)
    named = bool((open_clip.get_model_config(arch) or {}).get("quick_gelu", False))
    if named and weights.quick_gelu is False:
        raise UserError(
            f"the weights in {path} were trained with GELU, as the file beside them says, and "
            f"{arch} has QuickGELU: name {arch.removesuffix('-quickgelu')}"
        )
    quick_gelu = named if weights.quick_gelu is None else weights.quick_gelu
    with _sentence(f"{arch} could not be built"):
        model = _create(arch, None, quick_gelu, weights.preprocess)
    put_weights(model, weights.tensors, path, arch)
    notes = weights.notes
    if weights.preprocess is None:
        told = (
            f"nothing beside {path} tells how its images were normalised; taken to be as OpenAI's"
        )
        notes = (*notes, told)
    if weights.quick_gelu is None and not named:
        told = f"nothing beside {path} tells its activation; {arch} was taken to mean GELU"
        notes = (*notes, told)
    return Loaded(model, quick_gelu, notes)


def _create(
    arch: str, tag: str | None, quick_gelu: bool, images: Mapping[str, object] | None = None
) -> Model:
    """open_clip's model; quietly, as its remarks on weights are not ours."""
    model: Model = open_clip.create_model(
        arch,
        pretrained=tag,
        force_quick_gelu=quick_gelu,
        force_preprocess_cfg=dict(images or {}),
        pretrained_text=False,
        weights_only=True,
        require_pretrained=tag is not None,
    )
    return model


@contextmanager
def _sentence(what: str, advice: str = "see whether the network is there") -> Iterator[None]:
    """Turn whatever open_clip raises into one sentence, and keep its remarks off the screen."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (RuntimeError, OSError, ValueError, KeyError, ImportError) as error:
        raise UserError(f"{what} ({reason(_root(error))}): {advice}") from error
    finally:
        logging.disable(before)


def _root(error: BaseException) -> BaseException:
    """The deepest failure of the system or the network behind an error, else the error itself."""
    root, step = error, error.__cause__ or error.__context__
    while step is not None:
        root = step if isinstance(step, OSError) else root
        step = step.__cause__ or step.__context__
    return root


def _looks_like_path(text: str) -> bool:
    return os.sep in text or "/" in text or bool(Path(text).suffix)


def _some(tags: list[str]) -> str:
    if not tags:
        return "open_clip has none for it"
    return ", ".join(tags[:4]) + (f" and {len(tags) - 4} more" if len(tags) > 4 else "")


def _nearest(wrong: str, known: list[str]) -> str:
    lowered = {name.lower(): name for name in known}
    close = difflib.get_close_matches(wrong.lower(), list(lowered), n=1, cutoff=0.5)
    return f" (did you mean {lowered[close[0]]!r}?)" if close else ""
