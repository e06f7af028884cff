"""open_clip's weights: which are kept on this machine, and getting others with one look at the
network instead of five retries for each of a file's possible names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import open_clip
from huggingface_hub import constants, get_session

PATIENCE = 5.0  # seconds for the server's first word
OPENAI_CACHE = Path("~/.cache/clip")


@contextmanager
def offline() -> Iterator[None]:
    """What is kept is found without the network, and nothing is fetched."""
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def kept(arch: str, tag: str) -> Path | None:
    """The file of these weights if it was downloaded before, by open_clip's own rules."""
    about = _about(arch, tag)
    if not about.get("hf_hub"):
        path = (OPENAI_CACHE / Path(about.get("url", "")).name).expanduser()
        return path if path.is_file() else None
    try:
        with offline():
            return Path(open_clip.download_pretrained(about))
    except OSError:
        return None


def openais_own(arch: str, tag: str) -> Path | None:
    """The archive that OpenAI's package, or a repository built on it, has downloaded."""
    url = str(_about(arch, tag).get("url", ""))
    path = (OPENAI_CACHE / Path(url).name).expanduser()
    return path if "openaipublic" in url and path.is_file() else None


def fetch(arch: str, tag: str) -> Path:
    """Download these weights into open_clip's usual cache, with a bar on a terminal. OSError."""
    return Path(open_clip.download_pretrained(_about(arch, tag)))


def unreachable(arch: str | None = None, tag: str = "") -> str | None:
    """Why weights cannot be downloaded, None if their server answers."""
    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    about = _about(arch, tag) if arch else {}
    address = about.get("url") if about and not about.get("hf_hub") else constants.ENDPOINT
    try:
        get_session().head(str(address), timeout=PATIENCE)
    except Exception as error:  # whichever client the hub's package uses, it has its own classes
        words = str(error).strip() or type(error).__name__
        return f"{str(address).split('/')[2]} does not answer: {words.splitlines()[0][:120]}"
    return None


def all_kept() -> dict[str, Path]:
    """Every ARCH:TAG of open_clip's that is on this machine."""
    found = {f"{a}:{t}": kept(a, t) for a, t in open_clip.list_pretrained()}
    return {name: path for name, path in found.items() if path is not None}


def hub_cache() -> Path:
    """Where open_clip's downloads lie."""
    return Path(constants.HF_HUB_CACHE)


def _about(arch: str, tag: str) -> dict[str, Any]:
    about: dict[str, Any] = open_clip.get_pretrained_cfg(arch, tag) or {}
    return about
