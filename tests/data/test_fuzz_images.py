"""Bytes changed in small files of every format: what Pillow raises is a finding about the file."""

from __future__ import annotations

import functools
import io
import struct
from pathlib import Path

import numpy as np
import pytest
from fuzz import for_minutes, for_seconds
from hypothesis import strategies as st
from pictures import pixels
from PIL import Image, features

from fplbench.data.images import ImageFiles, examine


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def dds(flags: int, bits: int) -> bytes:
    """A header of 128 bytes with this pixel format, and some pixels."""
    head = bytearray(128)
    head[:4] = b"DDS "
    struct.pack_into("<I", head, 4, 124)
    struct.pack_into("<II", head, 12, 8, 8)
    struct.pack_into("<IIII", head, 76, 32, flags, 0, bits)
    return bytes(head) + bytes(256)


pytestmark = pytest.mark.filterwarnings("ignore")


@functools.cache
def samples() -> dict[str, bytes]:
    """A small file of each format and mode that Pillow writes here."""
    rgb = Image.fromarray(pixels("sky"))
    gray16 = Image.fromarray(np.arange(120, dtype=np.uint16).reshape(10, 12) * 500)
    alpha = rgb.convert("RGBA")
    alpha.putalpha(100)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    found = {
        "jpeg exif": encoded(rgb, "JPEG", exif=exif),
        "jpeg cmyk": encoded(rgb.convert("CMYK"), "JPEG"),
        "jpeg progressive": encoded(rgb, "JPEG", progressive=True),
        "png exif": encoded(rgb, "PNG", exif=exif),
        "png 16 clear": encoded(gray16, "PNG", transparency=500),
        "png palette": encoded(rgb.quantize(16), "PNG", transparency=3),
        "apng": encoded(rgb, "PNG", save_all=True, append_images=[rgb.rotate(90)]),
        "gif": encoded(rgb, "GIF", save_all=True, append_images=[rgb.rotate(90)]),
        "tiff": encoded(rgb, "TIFF", exif=exif),
        "tiff lzw": encoded(rgb, "TIFF", compression="tiff_lzw"),
        "tiff 16": encoded(gray16, "TIFF"),
        "tiff float": encoded(rgb.convert("F"), "TIFF"),
        "bmp": encoded(rgb, "BMP"),
        "ppm": encoded(rgb, "PPM"),
        "pgm 16": encoded(gray16, "PPM"),
        "tga": encoded(rgb, "TGA", compression="tga_rle"),
        "pcx": encoded(rgb, "PCX"),
        "ico": encoded(alpha.resize((16, 16)), "ICO", sizes=[(16, 16)]),
        "icns": encoded(alpha.resize((16, 16)), "ICNS"),
        "sgi": encoded(rgb, "SGI"),
        "spider": encoded(rgb.convert("F"), "SPIDER"),
        "im": encoded(rgb, "IM"),
        "xbm": encoded(rgb.convert("1"), "XBM"),
        "dds": encoded(alpha, "DDS"),
        "dds odd": dds(0x80000, 0),
        "mpo": encoded(rgb, "MPO", save_all=True, append_images=[rgb]),
        "qoi": b"qoif" + struct.pack(">IIBB", 4, 4, 3, 0) + b"\xc0" * 8 + b"\0" * 7 + b"\1",
        "psd": b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 4, 4, 8, 3) + bytes(14 + 48),
    }
    for name, kind, codec in (
        ("webp", "WEBP", "webp"),
        ("jp2", "JPEG2000", "jpg_2000"),
        ("avif", "AVIF", "avif"),
    ):
        if features.check(codec):
            found[name] = encoded(rgb, kind)
    return found


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A sample with some bytes changed, cut, repeated or put in."""
    content = bytearray(samples()[draw(st.sampled_from(sorted(samples())))])
    for _ in range(draw(st.integers(1, 4))):
        if not content:
            break
        # Headers are where decoders go astray.
        most = len(content) - 1 if draw(st.booleans()) else min(len(content) - 1, 200)
        at = draw(st.integers(0, most))
        how = draw(st.sampled_from(["flip", "set", "number", "cut", "drop", "insert"]))
        if how == "flip":
            content[at] ^= 1 << draw(st.integers(0, 7))
        elif how == "set":
            content[at] = draw(st.sampled_from([0, 1, 127, 128, 254, 255]))
        elif how == "number":
            value = draw(st.sampled_from([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]))
            content[at : at + 4] = struct.pack(draw(st.sampled_from(["<I", ">I"])), value)
        elif how == "cut":
            del content[at:]
        elif how == "drop":
            del content[at : at + draw(st.integers(1, 16))]
        else:
            content[at:at] = draw(st.binary(min_size=1, max_size=16))
    return bytes(content)


def check(folder: Path, content: bytes) -> None:
    """It is either unusable, with the same word from both, or a picture."""
    path = folder / "a.img"
    path.write_bytes(content)
    found = examine(path)
    assert "\n" not in found.fault + found.odd
    files = ImageFiles(folder, ["a.img"])
    if found.fault:
        with pytest.raises(OSError, match=r"a\.img: "):
            files[0]
    else:
        image = files[0]
        assert image.mode == "RGB"
        assert min(image.size) > 0


def test_every_sample_is_a_picture_or_says_why(tmp_path: Path) -> None:
    for name, content in samples().items():
        (tmp_path / "a").write_bytes(content)
        fault = examine(tmp_path / "a").fault
        assert bool(fault) == (name in ("tiff float", "spider", "dds odd")), (name, fault)


def test_a_damaged_file_is_a_finding(tmp_path: Path) -> None:
    for_seconds(damaged(), functools.partial(check, tmp_path))


@pytest.mark.slow
def test_a_damaged_file_is_a_finding_for_long(tmp_path: Path) -> None:
    assert for_minutes(damaged(), functools.partial(check, tmp_path)) > 0
