"""Image files as RGB pictures: opened when asked for, odd ones converted in one fixed way."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

# What Pillow raises for files that are no image, or not a whole one.
UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError)

ROTATED = 0x0112  # the EXIF tag of the orientation; 1 is upright
ALPHA_MODES = ("LA", "RGBA", "PA", "La", "RGBa")
DEEP_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")


class ImageFiles(Sequence[Image.Image]):
    """Files of one folder; each is read anew whenever it is asked for.

    names: paths relative to the folder, with slashes.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.folder = folder
        self.names = names

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, index: int) -> Image.Image: ...

    @overload
    def __getitem__(self, index: slice) -> ImageFiles: ...

    def __getitem__(self, index: int | slice) -> Image.Image | ImageFiles:
        if isinstance(index, slice):
            return ImageFiles(self.folder, self.names[index])
        path = self.folder / self.names[index]
        try:
            with Image.open(path) as image:
                return upright_rgb(image)
        except UNREADABLE as error:
            raise OSError(f"{path}: {reason(error)}") from error


def upright_rgb(image: Image.Image) -> Image.Image:
    """The picture as a person sees it: turned as EXIF says, on white where it is transparent,
    16 bits cut to the upper 8, anything else as Pillow converts it. ValueError for pixels
    without a defined range."""
    image.load()
    image = ImageOps.exif_transpose(image)
    if image.mode == "F":
        raise ValueError("floating-point pixels have no defined range")
    if image.mode in DEEP_MODES:
        pixels = np.asarray(image).astype(np.int64)
        # Pillow opens some 8-bit files in the 32-bit mode.
        if pixels.max(initial=0) > 255:
            pixels >>= 8
        image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    if image.mode in ALPHA_MODES or "transparency" in image.info:
        picture = image.convert("RGBA")
        image = Image.new("RGBA", picture.size, "white")
        image.alpha_composite(picture)
    return image.convert("RGB")


@dataclass(frozen=True)
class Finding:
    """What one file is. fault: why it cannot be used, "" if it can. odd: what had to be
    converted, "" for a plain picture. digest: of the file's bytes, 16 of them."""

    fault: str
    odd: str
    digest: bytes


def examine(path: Path) -> Finding:
    """Open and decode one file to the last pixel; never raises for a bad one."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return Finding("is missing", "", b"\0" * 16)
    except OSError as error:
        return Finding(f"cannot be read ({error.strerror})", "", b"\0" * 16)
    digest = hashlib.sha256(content).digest()[:16]
    if not content:
        return Finding("is empty (zero bytes)", "", digest)
    try:
        with warnings.catch_warnings():
            # Large pictures are fine; only Pillow's second limit is an error.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content)) as image:
                odd = oddities(image)
                upright_rgb(image)
    except UNREADABLE as error:
        return Finding(reason(error), "", digest)
    return Finding("", odd, digest)


def reason(error: Exception) -> str:
    """Pillow's error in a few words."""
    if isinstance(error, FileNotFoundError):
        return "is missing"
    if isinstance(error, UnidentifiedImageError):
        return "is no image that Pillow can read"
    text = str(error)
    if "truncated" in text.lower() or isinstance(error, EOFError):
        return "is truncated"
    return f"cannot be decoded ({' '.join(text.split())})"


def oddities(image: Image.Image) -> str:
    """What makes a picture more than plain gray or RGB of 8 bits; "" if nothing does."""
    found = []
    if image.mode in DEEP_MODES:
        found.append("16 bit")
    elif image.mode == "P":
        found.append("palette")
    elif image.mode not in ("RGB", "L", "1", *ALPHA_MODES):
        found.append(image.mode)
    if image.mode in ALPHA_MODES or "transparency" in image.info:
        found.append("alpha")
    if image.getexif().get(ROTATED, 1) != 1:
        found.append("EXIF rotation")
    if getattr(image, "n_frames", 1) > 1:
        found.append("several frames")
    return " and ".join(found)
