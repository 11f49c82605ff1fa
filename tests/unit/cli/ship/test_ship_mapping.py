"""Mapping files: what they may say, and every mistake at once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine.cli.ship.columns import FIELDS, REQUIRED
from engine.cli.ship.mapping import read_mapping
from engine.cli.ship.problems import ShipError

README = Path(__file__).parents[4] / "engine/cli/ship/README.md"


def mapping_file(folder: Path, text: str) -> Path:
    """A mapping file with this text."""
    path = folder / "map.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_example_of_the_readme(tmp_path: Path) -> None:
    """The documented example is a mapping that works."""
    example = re.search(r"```toml\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    assert example is not None
    mapping = read_mapping(mapping_file(tmp_path, example[1]))

    assert (mapping.encoding, mapping.weight_unit, mapping.money_unit) == ("gb18030", "g", "fen")
    assert mapping.values["service_level"] == {"next day": "EXPRESS", "normal": "STANDARD"}
    assert set(REQUIRED) <= {*mapping.columns.values(), *mapping.defaults}


def test_readme_names_every_field() -> None:
    """No field is a secret."""
    text = README.read_text("utf-8")

    assert [field for field in FIELDS if f"`{field}`" not in text] == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("columns = 3", "columns: is no table"),
        ("", "columns: is empty"),
        ('[columns]\nA = "phon"', "columns.A: 'phon' is no field; allowed are reference, name"),
        ('[columns]\nA = "name"\nB = "name"', "columns.B: name is filled by 'A' already"),
        ('[columns]\nA = "name"\n[units]\nweight = "lb"', "units.weight: 'lb' is unknown; write one of kg, g"),
        ('[columns]\nA = "name"\n[units]\nlength = "m"', "units.length: unknown; allowed are weight, money"),
        (
            '[columns]\nA = "name"\n[values.temperature]\ncold = "COLD"',
            "values.temperature.cold: 'COLD' is unknown; write one of AMBIENT, CHILLED, FROZEN",
        ),
        ('[columns]\nA = "name"\n[defaults]\nx = "1"', "defaults.x: 'x' is no field"),
        ('[columns]\nA = "name"\n[defaults]\nquantity = true', "defaults.quantity: is no text"),
        ('colums = 1\n[columns]\nA = "name"', "colums: unknown; allowed are columns"),
        ('encoding = "klingon"\n[columns]\nA = "name"', "encoding: 'klingon' is unknown"),
        ("[columns\n", "is not TOML"),
    ],
)
def test_wrong_mapping(tmp_path: Path, text: str, message: str) -> None:
    """Each mistake names its key and what is allowed."""
    with pytest.raises(ShipError, match=re.escape(message)):
        read_mapping(mapping_file(tmp_path, text))


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    """Nobody has to correct a mapping twice."""
    with pytest.raises(ShipError) as caught:
        read_mapping(mapping_file(tmp_path, '[columns]\nA = "x"\nB = "y"\n[units]\nweight = "lb"'))

    assert len(str(caught.value).splitlines()) == 3


def test_missing_mapping(tmp_path: Path) -> None:
    """A file that is not there is named."""
    with pytest.raises(ShipError, match=r"nowhere\.toml: No such file"):
        read_mapping(tmp_path / "nowhere.toml")
