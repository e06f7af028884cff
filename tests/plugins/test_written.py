"""A value is read by the type of its setting, on the command line and in a grid file alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import ValidationError

from fplbench.cli.options import assignments, listed
from fplbench.grid import gridfile
from fplbench.plugins.base import Settings
from fplbench.plugins.written import Swept, read, swept
from fplbench.spec import Training


class Config(Settings):
    """A setting of each type."""

    name: str = ""
    perhaps: str | None = None
    count: int = 1
    some: int | None = 1
    rate: float = 1.0
    kind: Literal["none", "1", "auto"] = "auto"
    rate_or_auto: float | Literal["auto"] = "auto"
    flag: bool = False
    pair: tuple[float, float] = (0.0, 0.0)


def from_yaml(folder: Path, key: str, text: str) -> dict[str, Any]:
    path = folder / "g.yaml"
    path.write_text(f"methods: [a]\nsettings:\n  {key}: {text}\n", encoding="utf-8")
    return dict(gridfile.read(path)["settings"])


TEXTS = ["15", "007", "1e3", "null", "no", "true", "on", "1:30", "0x10", "photo", "3.0", "NaN"]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("key", ["name", "perhaps"])
def test_a_text_stays_as_it_was_written(tmp_path: Path, key: str, text: str) -> None:
    ways = [{key: swept(text)}, assignments([f"{key}={text}"]), from_yaml(tmp_path, key, text)]
    ways += [assignments([f'{key}="{text}"']), from_yaml(tmp_path, key, f'"{text}"')]
    for given in ways:
        assert getattr(Config(**read(Config, given)), key) == text


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("count", "010", 10),
        ("count", "10.0", 10),
        ("some", "null", None),
        ("some", "08", 8),
        ("rate", "1e-3", 0.001),
        ("rate", "010", 10.0),
        ("rate", "2", 2.0),
        ("kind", "none", "none"),
        ("kind", "1", "1"),
        ("rate_or_auto", "auto", "auto"),
        ("rate_or_auto", "0.5", 0.5),
        ("flag", "yes", True),
        ("flag", "false", False),
    ],
)
def test_a_number_is_a_number_wherever_it_is_written(
    tmp_path: Path, key: str, text: str, value: object
) -> None:
    for given in (
        {key: swept(text)},
        assignments([f"{key}={text}"]),
        from_yaml(tmp_path, key, text),
    ):
        found = getattr(Config(**read(Config, given)), key)
        assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("count", "1:30"),
        ("count", "0x10"),
        ("count", "0o17"),
        ("count", "no"),
        ("count", "true"),
        ("rate", "false"),
        ("count", "null"),
        ("rate", "inf"),
        ("rate", "nan"),
        ("rate", "Infinity"),
        ("rate", "NaN"),
        ("rate", "1e999"),
        ("rate", ".inf"),
        ("pair", "[NaN, 1]"),
    ],
)
def test_what_is_no_such_value_is_refused(tmp_path: Path, key: str, text: str) -> None:
    ways = [assignments([f"{key}={text}"]), from_yaml(tmp_path, key, text)]
    for given in ways:
        for value in given[key] if isinstance(given[key], list) else [given[key]]:
            with pytest.raises(ValidationError):
                Config(**read(Config, {key: value}))


@pytest.mark.parametrize(
    "setting", [name for name, f in Training.model_fields.items() if f.annotation is float]
)
@pytest.mark.parametrize("text", ["inf", "-inf", "nan", "1e999"])
def test_settings_of_the_training_are_finite(setting: str, text: str) -> None:
    with pytest.raises(ValidationError):
        Training(**read(Training, {setting: swept(text)}))


def test_lists_are_swept_and_each_value_is_read_by_the_type(tmp_path: Path) -> None:
    def names(values: Any) -> list[object]:
        assert isinstance(values, list)
        return [Config(**read(Config, {"name": value})).name for value in values]

    assert names(swept("15, no ,007")) == ["15", "no", "007"]
    assert names(assignments(['name=[15, "no", null, true, 1e3]'])["name"]) == [
        *("15", "no", "null", "true", "1e3")
    ]
    assert names(from_yaml(tmp_path, "name", "[15, no, 'a, b', 007]")["name"]) == [
        *("15", "no", "a, b", "007")
    ]


def test_commas_in_quotation_marks_separate_nothing() -> None:
    assert swept('"photo, old",15') == ["photo, old", "15"]
    both = swept("photo, old")
    assert isinstance(both, Swept)
    assert (both, both.text) == (["photo", "old"], "photo, old")
    assert listed('digits,"folder:a,b",', "--datasets") == ("digits", "folder:a,b")


def test_a_grid_file_may_come_from_windows(tmp_path: Path) -> None:
    text = "methods: [zeroshot]\r\nseeds: [010, 2]\r\n"
    for encoding in ("utf-8-sig", "utf-16"):
        (tmp_path / "g.yaml").write_bytes(text.encode(encoding))
        assert gridfile.read(tmp_path / "g.yaml")["seeds"] == [10, 2]
