"""Image features of a data set, computed once for each backbone and kept on disk.

One file for each kind of feature and each view: a .npy array with the SHA-256 of everything
before it at its end, written aside and renamed. A file that is torn or changed is made again, and
processes that want the same features at once wait for the one that makes them.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from filelock import FileLock
from numpy.typing import NDArray
from PIL.Image import Image
from torch import Tensor

from fplbench.clip.backbone import Backbone
from fplbench.data.progress import Progress
from fplbench.dataset import Data
from fplbench.errors import UserError
from fplbench.features.views import VIEWS_VERSION, Seen
from fplbench.machine.caches import CACHE, own
from fplbench.records.atomic import write_aside, writing

FloatArray = NDArray[np.float32] | NDArray[np.float16]

# Patches are 196 times as many as pooled features in a ViT-B/16 and rounded to float16 on disk;
# docs/performance.md says what that does to logits. A kind's name is part of its file's name.
KINDS = {
    "pooled": torch.float32,
    "patches-f16": torch.float16,
    "embedded": torch.float32,
    "norms": torch.float32,
    "mirrored": torch.float32,
}
IMAGES_AT_ONCE = 64
DECODERS = 4
READ_AT_ONCE = 1 << 24  # bytes
SHOWN_FAULTS = 5
LONGEST = 150  # bytes of a file's name before its hash

# Files found whole by this process, with their time and size: checked again only if they change.
_whole: dict[Path, tuple[int, int]] = {}


@dataclass(frozen=True)
class Features:
    """Features of all images of a split, unit length along D, mapped from disk; writing
    to them changes no file.

    pooled: [M, D], float32; patches: [M, P, D], float16; embedded: [M, L, w], float32, not of unit
    length: patches before the image tower; norms: [M], float32, the length of each pooled feature
    before it was made one; mirrored: [M, D], float32, of the images with left and right changed.
    All but pooled are None unless asked for.
    """

    pooled: FloatArray
    patches: FloatArray | None = None
    embedded: FloatArray | None = None
    norms: FloatArray | None = None
    mirrored: FloatArray | None = None


def features(
    backbone: Backbone,
    data: Data,
    split: str,
    patches: bool,
    cache: Path,
    device: torch.device | str,
    progress: Progress | None = None,
    view: int = 0,
    embedded: bool = False,
    norms: bool = False,
    mirrored: bool = False,
) -> Features:
    """The features of one split, from the cache or computed.

    split: "train" or "test". cache: the folder that holds the files. device: where the backbone
    lies. progress: called with images done and to do, while computing. view: 0, the images as
    they are; others as views.py cuts and flips them.
    UserError: images that cannot be read, all of them named; patches of a tower without them.
    """
    with writing(cache, CACHE):
        own(cache)
    key = _key(backbone, data, split, view)
    asked = {"pooled": True, "patches-f16": patches, "embedded": embedded}
    asked |= {"norms": norms, "mirrored": mirrored}
    paths = {kind: cache / f"{key}.{kind}.npy" for kind in KINDS if asked[kind]}
    found = {kind: _open(path) for kind, path in paths.items()}
    if any(array is None for array in found.values()):
        with FileLock(cache / f"{key}.lock"):
            found = {kind: _open(path) for kind, path in paths.items()}
            missing = {kind: paths[kind] for kind, array in found.items() if array is None}
            if missing:
                images = {"train": data.train, "test": data.test}[split].images
                if view:
                    images = Seen(images, view, min(backbone.image_size))
                batches = _encode(backbone, images, missing, device, progress)
                with writing(cache, CACHE):
                    _write(batches, len(images), missing)
                found |= {kind: _open(path) for kind, path in missing.items()}
    pooled = found["pooled"]
    if pooled is None:
        raise RuntimeError(f"{paths['pooled']} was damaged as soon as it was written")
    others = (found.get(kind) for kind in ("patches-f16", "embedded", "norms", "mirrored"))
    return Features(pooled, *others)


def _key(backbone: Backbone, data: Data, split: str, view: int) -> str:
    """Everything that the features depend on, behind a part that a person can read."""
    about = [backbone.fingerprint, backbone.preprocess_id, data.fingerprint, split]
    if view:
        about.append(f"view {view} of {VIEWS_VERSION}")
    digest = hashlib.sha256("\0".join(about).encode()).hexdigest()[:20]
    name = "".join(c if c.isalnum() or c in "-_" else "-" for c in Path(backbone.name).name)
    name = name if len(name.encode()) <= LONGEST else re.sub("[^A-Za-z0-9_-]", "-", name[:40])
    return f"{name}.{split}.{digest}"


def _open(path: Path) -> FloatArray | None:
    """The array in a file, or None when the file is not there or not whole."""
    try:
        status = path.stat()
        stamp = (status.st_mtime_ns, status.st_size)
        if _whole.get(path) != stamp:
            if not _is_whole(path, status.st_size):
                return None
            _whole[path] = stamp
        array: FloatArray = np.load(path, mmap_mode="c", allow_pickle=False)
    except (OSError, ValueError):
        return None
    return array


def _is_whole(path: Path, size: int) -> bool:
    digest = hashlib.sha256()
    left = size - digest.digest_size
    with path.open("rb") as file:
        while left > 0:
            block = file.read(min(left, READ_AT_ONCE))
            if not block:
                return False
            digest.update(block)
            left -= len(block)
        return file.read() == digest.digest()


def _write(batches: Iterator[dict[str, Tensor]], count: int, missing: dict[str, Path]) -> None:
    """Write the missing kinds from one pass over `count` images; under the lock."""
    with contextlib.ExitStack() as stack:
        files = {
            kind: stack.enter_context(write_aside(path, alone=True))
            for kind, path in missing.items()
        }
        digests = {kind: hashlib.sha256() for kind in missing}
        begun = False
        for batch in batches:
            for kind, file in files.items():
                array = batch[kind].to(KINDS[kind]).cpu().numpy()
                block = array.tobytes()
                if not begun:
                    block = _header((count, *array.shape[1:]), array.dtype) + block
                digests[kind].update(block)
                file.write(block)
            begun = True
        for kind, file in files.items():
            file.write(digests[kind].digest())


def _header(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bytes:
    """The beginning of a .npy file in this machine's byte order."""
    buffer = io.BytesIO()
    described = {"descr": dtype.str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, described)
    return buffer.getvalue()


def _encode(
    backbone: Backbone,
    images: Sequence[Image],
    missing: Collection[str],
    device: torch.device | str,
    progress: Progress | None,
) -> Iterator[dict[str, Tensor]]:
    """Batches of the missing kinds of features, in order.

    All images are read before a fault is reported, so that one error names them all.
    """
    if not len(images):
        raise ValueError("a split without images has no features")
    faults: list[tuple[int, str]] = []
    for start, pixels in _pixels(backbone, images, faults):
        if not faults:
            pixels, batch = pixels.to(device), {}
            if "embedded" in missing:
                batch["embedded"] = backbone.embedded(pixels)
            if "mirrored" in missing:
                batch["mirrored"] = F.normalize(backbone.images(pixels.flip(-1)).pooled, dim=-1)
            if not set(missing) <= {"embedded", "mirrored"}:
                found = backbone.images(pixels, patches="patches-f16" in missing)
                batch["pooled"] = F.normalize(found.pooled, dim=-1)
                batch["norms"] = found.pooled.norm(dim=-1)
                if found.patches is not None:
                    batch["patches-f16"] = F.normalize(found.patches, dim=-1)
            yield batch
        if progress is not None:
            progress(min(start + IMAGES_AT_ONCE, len(images)), len(images))
    if faults:
        shown = "; ".join(f"image {i}: {why}" for i, why in sorted(faults)[:SHOWN_FAULTS])
        more = f" and {len(faults) - SHOWN_FAULTS} more" if len(faults) > SHOWN_FAULTS else ""
        raise UserError(
            f"{len(faults)} of {len(images)} images cannot be read "
            f"({shown}{more}): repair or remove these files"
        )


def _pixels(
    backbone: Backbone, images: Sequence[Image], faults: list[tuple[int, str]]
) -> Iterator[tuple[int, Tensor]]:
    """Preprocessed batches [B, 3, H, W]; threads decode the next one while one is used."""

    def read(index: int) -> Tensor | None:
        try:
            return backbone.preprocess(images[index])
        # ImageFiles' error for a bad file, which names it; a data set of another make may raise
        # what its decoder does.
        except Exception as error:
            faults.append((index, str(error)))
            return None

    with ThreadPoolExecutor(DECODERS) as pool:

        def submit(start: int) -> list[Future[Tensor | None]]:
            stop = min(start + IMAGES_AT_ONCE, len(images))
            return [pool.submit(read, index) for index in range(start, stop)]

        ahead = submit(0)
        for start in range(0, len(images), IMAGES_AT_ONCE):
            now, ahead = ahead, submit(start + IMAGES_AT_ONCE)
            pixels = [tensor for future in now if (tensor := future.result()) is not None]
            yield start, torch.stack(pixels) if pixels else torch.empty(0)
