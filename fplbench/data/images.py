"""Image files as RGB pictures: opened when asked for, odd ones converted in one fixed way."""

from __future__ import annotations

import hashlib
import io
import stat
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np
from PIL import Image, UnidentifiedImageError

from fplbench.data.names import readable

ROTATED = 0x0112  # the EXIF tag of the orientation; 1 is upright
# What each value of it asks for (Exif 2.3, table 6).
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
ALPHA_MODES = ("LA", "RGBA", "PA", "La", "RGBa")
DEEP_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")
# Formats that Pillow opens in its 32-bit mode with values of 16 bits.
SIXTEEN_IN_32 = ("PNG", "PPM")
BLACK = "16 bit (nothing above 255, so black)"
BITS = 258  # the TIFF tag of the bits of a sample


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
        # Decoders raise nearly anything for a damaged file.
        except Exception as error:
            raise OSError(f"{readable(str(path))}: {reason(error)}") from error


def upright_rgb(image: Image.Image) -> Image.Image:
    """The picture as a person sees it: turned as EXIF says, on white where it is transparent,
    16 bits cut to the upper 8, anything else as Pillow converts it. ValueError for pixels
    without a defined range, or for none at all."""
    image.load()
    deep = image.mode in DEEP_MODES
    if image.mode == "F":
        raise ValueError("floating-point pixels have no defined range")
    if image.mode == "I" and not _is_of_16_bits(image):
        raise ValueError("32-bit integer pixels have no defined range")
    if not all(image.size):
        raise ValueError("it has no pixels")
    turn = TURNS.get(orientation(image))
    clear = image.info.get("transparency")
    if deep:
        image = _upper_8(image, clear)
    elif image.mode in ALPHA_MODES or clear is not None:
        if isinstance(clear, tuple) and max(clear) > 255:  # of 48-bit RGB, cut as its pixels are
            image.info["transparency"] = tuple(value >> 8 for value in clear)
        picture = image.convert("RGBA")
        image = Image.new("RGBA", picture.size, "white")
        image.alpha_composite(picture)
    image = image.convert("RGB")
    return image if turn is None else image.transpose(turn)


def _is_of_16_bits(image: Image.Image) -> bool:
    if image.format == "TIFF":
        bits = getattr(image, "tag_v2", {}).get(BITS, ())
        return tuple(np.atleast_1d(bits)) == (16,)
    return image.format in SIXTEEN_IN_32


def _upper_8(image: Image.Image, clear: object) -> Image.Image:
    """The upper 8 of 16 bits, whatever the largest value is: two pictures of one data set have
    one scale. clear: the value that is transparent, if it is a number."""
    pixels = np.asarray(image).astype(np.int64)
    shown = (pixels.clip(0, 0xFFFF) >> 8).astype(np.uint8)
    if isinstance(clear, int):
        shown[pixels == clear] = 255
    return Image.fromarray(shown)


def orientation(image: Image.Image) -> int:
    """What EXIF says of it; 1, upright, where it says nothing that can be understood."""
    try:
        found = image.getexif().get(ROTATED, 1)
    except Exception:  # a damaged block says nothing
        return 1
    return found if isinstance(found, int) and found in TURNS else 1


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
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
            return Finding("is no file", "", b"\0" * 16)
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
    # Decoders raise nearly anything for a damaged file, and it is about this file alone.
    except Exception as error:
        return Finding(reason(error), "", digest)
    return Finding("", odd, digest)


def frames(image: Image.Image) -> int:
    """How many there are, as far as the file is whole; the first is the one that counts."""
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception:  # damaged behind the first
        return 1


def reason(error: Exception) -> str:
    """Pillow's error in a few words."""
    if isinstance(error, FileNotFoundError):
        return "is missing"
    if isinstance(error, UnidentifiedImageError):
        return "is no image that Pillow can read"
    text = str(error).replace("\0", "").encode("utf-8", "replace").decode()
    if "truncated" in text.lower() or isinstance(error, EOFError):
        return "is truncated"
    return f"cannot be decoded ({' '.join(text.split()) or type(error).__name__})"


def oddities(image: Image.Image) -> str:
    """What makes a picture more than plain gray or RGB of 8 bits, "" if nothing does; decodes it
    as `upright_rgb` does, and raises what that raises."""
    mode, alpha = image.mode, image.mode in ALPHA_MODES or "transparency" in image.info
    # Of a PNG only decoding tells, and decoding turns a TIFF.
    turned = image.format != "PNG" and orientation(image) != 1
    upright_rgb(image)
    found = []
    if mode in DEEP_MODES:
        found.append("16 bit" if np.asarray(image).max() > 255 else BLACK)
    elif mode == "P":
        found.append("palette")
    elif mode not in ("RGB", "L", "1", *ALPHA_MODES):
        found.append(mode)
    if alpha:
        found.append("alpha")
    if turned or orientation(image) != 1:
        found.append("EXIF rotation")
    if frames(image) > 1:
        found.append("several frames")
    return " and ".join(found)
