"""Picture files: odd ones become what a person sees, unusable ones are named with the reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pictures import picture, pixels
from PIL import Image

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
