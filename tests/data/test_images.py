"""Picture files: odd ones become what a person sees, unusable ones are named with the reason."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import PIL
import pytest
from pictures import picture, pixels
from PIL import Image, ImageOps

from fplbench.data.images import ImageFiles, examine


def opened(path: Path) -> np.ndarray:
    return np.asarray(ImageFiles(path.parent, [path.name])[0])


def test_a_file_is_opened_as_rgb_and_closed_again(tmp_path: Path) -> None:
    path = picture(tmp_path / "a.png", "sky")
    assert np.array_equal(opened(path), pixels("sky"))
    path.unlink()  # nothing holds it
    assert examine(path).fault == "is missing"


def test_a_turned_photo_is_set_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held on its side
    Image.fromarray(np.rot90(pixels("sky"))).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(opened(tmp_path / "a.png"), pixels("sky"))
    assert examine(tmp_path / "a.png").odd == "EXIF rotation"


def test_transparent_parts_are_white(tmp_path: Path) -> None:
    rgba = np.dstack([pixels("sky"), np.full(pixels("sky").shape[:2], 255, dtype=np.uint8)])
    rgba[:5, :, 3] = 0
    Image.fromarray(rgba).save(tmp_path / "a.png")
    shown = opened(tmp_path / "a.png")
    assert (shown[:5] == 255).all()
    assert np.array_equal(shown[5:], pixels("sky")[5:])
    assert examine(tmp_path / "a.png").odd == "alpha"


def test_sixteen_bits_keep_their_shades(tmp_path: Path) -> None:
    gray = pixels("sky")[..., 0]
    Image.fromarray(gray.astype(np.uint16) * 256 + 77).save(tmp_path / "a.png")
    assert np.array_equal(opened(tmp_path / "a.png")[..., 1], gray)
    assert examine(tmp_path / "a.png").odd == "16 bit"


def test_a_palette_with_a_transparent_colour(tmp_path: Path) -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 10, 200, 30])
    image.putpixel((0, 0), 0)
    image.save(tmp_path / "a.gif", transparency=0)
    shown = opened(tmp_path / "a.gif")
    assert shown[0, 0].tolist() == [255, 255, 255]
    assert shown[3, 3].tolist() == [10, 200, 30]
    assert examine(tmp_path / "a.gif").odd == "palette and alpha"


def test_cmyk_is_converted(tmp_path: Path) -> None:
    Image.new("CMYK", (8, 8), (255, 0, 0, 0)).save(tmp_path / "a.jpg")
    red, green, blue = opened(tmp_path / "a.jpg")[4, 4]
    assert red < 60 < 200 < min(green, blue)
    assert examine(tmp_path / "a.jpg").odd == "CMYK"


def test_gray_and_rgb_are_not_odd(tmp_path: Path) -> None:
    Image.fromarray(pixels("sky")[..., 0]).save(tmp_path / "gray.jpg")
    picture(tmp_path / "rgb.jpg")
    assert examine(tmp_path / "gray.jpg").odd == examine(tmp_path / "rgb.jpg").odd == ""


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "zero bytes"),
        (b"<html>404 Not Found</html>", "no image"),
        ("half", "truncated"),
        ("float", "floating-point"),
    ],
)
def test_unusable_files_say_why(tmp_path: Path, content: bytes | str, fault: str) -> None:
    path = tmp_path / "a.tif"
    if content == "half":
        whole = picture(tmp_path / "whole.png", "sky").read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    elif content == "float":
        Image.fromarray(np.ones((4, 4), dtype=np.float32)).save(path)
    else:
        assert isinstance(content, bytes)
        path.write_bytes(content)
    assert fault in examine(path).fault
    with pytest.raises(OSError, match=r"a\.tif"):
        ImageFiles(tmp_path, ["a.tif"])[0]


def exif_jpeg(path: Path, entries: list[tuple[int, int, int, bytes]]) -> Path:
    """A JPEG, 30 x 20, whose EXIF holds these entries: tag, type, count, 4 bytes."""
    ifd = struct.pack("<H", len(entries))
    for tag, kind, count, value in sorted(entries):
        ifd += struct.pack("<HHL", tag, kind, count) + value
    exif = b"Exif\0\0II*\0" + struct.pack("<L", 8) + ifd + struct.pack("<L", 0)
    Image.fromarray(np.full((20, 30, 3), 128, np.uint8)).save(path, "JPEG", exif=exif)
    return path


@pytest.mark.parametrize(
    ("entry", "size"),
    [
        ((0x011A, 2, 4, b"72dp"), (20, 30)),  # a resolution as text
        pytest.param(
            (0x0110, 2, 900, b"\x10\0\0\0"),  # a text that ends behind the file
            (20, 30),
            marks=pytest.mark.skipif(
                int(PIL.__version__.split(".")[0]) < 13,
                reason="before Pillow 13 such a text hides all that Exif says",
            ),
        ),
        ((0x8769, 4, 1, b"\xff\xff\xff\x7f"), (20, 30)),  # a block at no place
        ((0x0213, 99, 1, b"\0\0\0\0"), (20, 30)),  # a type that there is not
    ],
)
def test_a_photo_is_turned_whatever_else_its_exif_says(
    tmp_path: Path, entry: tuple[int, int, int, bytes], size: tuple[int, int]
) -> None:
    path = exif_jpeg(tmp_path / "a.jpg", [(0x0112, 3, 1, struct.pack("<HH", 6, 0)), entry])
    found = examine(path)
    assert (found.fault, found.odd) == ("", "EXIF rotation")
    assert ImageFiles(tmp_path, ["a.jpg"])[0].size == size


@pytest.mark.parametrize("value", range(1, 9))
def test_each_orientation_is_undone_as_pillow_does(tmp_path: Path, value: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = value
    picture = Image.fromarray(pixels("sky"))
    for ending in ("png", "tif", "webp"):
        path = tmp_path / f"a.{ending}"
        picture.save(path, exif=exif, **({"lossless": True} if ending == "webp" else {}))
        with Image.open(path) as image:
            wanted = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
        assert np.array_equal(opened(path), wanted), ending
        assert examine(path).odd == ("EXIF rotation" if value > 1 else "")


@pytest.mark.parametrize("ending", ["png", "tif", "pgm", "jp2"])
def test_a_dark_picture_of_16_bits_is_dark(tmp_path: Path, ending: str) -> None:
    """Not as bright as its own largest value would make it."""
    dark = np.arange(256, dtype=np.uint16).reshape(16, 16)
    Image.fromarray(dark).save(tmp_path / f"dark.{ending}")
    assert opened(tmp_path / f"dark.{ending}").max() == 0
    if ending in ("png", "tif"):
        assert "so black" in examine(tmp_path / f"dark.{ending}").odd
    Image.fromarray(dark * 100).save(tmp_path / f"light.{ending}")
    assert opened(tmp_path / f"light.{ending}").max() == 25500 >> 8


def test_the_clear_value_of_16_bits_is_white(tmp_path: Path) -> None:
    gray = np.array([[100, 30_000], [100, 60_000]], dtype=np.uint16)
    Image.fromarray(gray).save(tmp_path / "a.png", transparency=100)
    assert opened(tmp_path / "a.png")[..., 0].tolist() == [[255, 117], [255, 234]]
    assert examine(tmp_path / "a.png").odd == "16 bit and alpha"


def test_numbers_of_32_bits_have_no_range(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 7, dtype=np.int32)).save(tmp_path / "a.tif")
    assert "32-bit integer pixels have no defined range" in examine(tmp_path / "a.tif").fault


@pytest.mark.parametrize(
    "error",
    [RuntimeError, NotImplementedError, TypeError, struct.error, KeyError, IndexError],
)
def test_whatever_a_decoder_raises_is_about_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    path = picture(tmp_path / "a.png")

    def fails(self: object) -> None:
        raise error("no\nway")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", fails)
    assert "cannot be decoded (" in examine(path).fault
    with pytest.raises(OSError, match=r"a\.png: cannot be decoded"):
        opened(path)


def test_damage_behind_the_first_frame_does_no_harm(tmp_path: Path) -> None:
    frames = [Image.fromarray(pixels(name)) for name in "abc"]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    whole = opened(tmp_path / "a.gif")
    content = (tmp_path / "a.gif").read_bytes()
    (tmp_path / "a.gif").write_bytes(content[: len(content) * 2 // 3])
    assert examine(tmp_path / "a.gif").fault == ""
    assert np.array_equal(opened(tmp_path / "a.gif"), whole)
