"""The bundled division table: complete, consistent, and read off a text without mistakes."""

from __future__ import annotations

from importlib import resources

import pytest

from engine.core.policy.address import check_address
from engine.core.policy.data import names
from engine.core.policy.divisions import (
    City,
    District,
    Form,
    Tokens,
    data_date,
    divisions,
    is_remote,
    read_levels,
    towns_of,
)

STREET = "解放大道18号5栋"


def one_city(name: str) -> City:
    (hit,) = divisions().cities.get(name)
    return hit.unit


def written_in_full(district: District) -> str:
    city = district.city
    upper = city.province.name + ("" if city.name == city.province.name else city.name)
    return upper + ("" if city.is_county else district.name) + STREET


def test_table_has_all_province_level_units_and_its_date() -> None:
    """The mainland's 31 and the three outer ones are there, and the table says how old it is."""
    provinces = divisions().provinces.official()

    assert len(provinces) == 34
    assert {"台湾省", "香港特别行政区", "澳门特别行政区"} <= set(provinces)
    assert data_date() == "2023-06-30"


def test_bundled_data_stays_small() -> None:
    """The data that every installation carries stays below 1.5 MB."""
    folder = resources.files("engine.core.policy.data")
    sizes = [len(folder.joinpath(name).read_bytes()) for name in ("divisions.tsv.gz", "towns.tsv.gz")]

    assert sum(sizes) < 1_500_000


def test_codes_are_official_and_unique() -> None:
    """Districts have six digits, towns in their place nine, and no code stands twice."""
    codes = [district.code for district in divisions().all_districts if district.code]

    assert {len(code) for code in codes} == {6, 9}
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize(
    ("province", "former", "present"),
    [(place, old, new) for (place, old), (new, _) in names.FORMER_CITIES.items()],
)
def test_former_city_leads_to_a_city_of_the_table(province: str, former: str, present: str) -> None:
    """Every former city name resolves to its successor in the same province, with a note."""
    (hit,) = divisions().cities.get(former)

    assert (hit.unit.province.name, hit.unit.name) == (province, present)
    assert hit.form is Form.FORMER


@pytest.mark.parametrize(
    ("city", "former", "present"),
    [(place, old, new) for (place, old), (new, _) in names.FORMER_DISTRICTS.items()],
)
def test_former_district_leads_to_a_district_of_the_table(city: str, former: str, present: str) -> None:
    """Every former district name resolves to its successor in the same city, with a note."""
    (hit,) = divisions().districts_in(one_city(city)).get(former)

    assert hit.unit.name == present
    assert str(names.FORMER_DISTRICTS[city, former][1]) in hit.note


def test_every_district_written_in_full_reads_back() -> None:
    """Province, city, district and street joined without a space give the same place again."""
    wrong = []
    for district in divisions().all_districts:
        result = check_address("", "", "", written_in_full(district))
        place = (result.city, result.district, result.street, result.violations)
        if place != (district.city.name, district.name, STREET, ()):
            wrong.append(district.name)

    assert wrong == []


def test_every_district_without_its_city_is_right_or_refused() -> None:
    """With the city left out a district is found, or named as ambiguous, but never mistaken."""
    wrong, refused = [], 0
    for district in divisions().all_districts:
        text = district.city.province.name + district.name + STREET
        result = check_address("", "", "", text)
        refused += not result.ok
        if result.ok and (result.city, result.district) != (district.city.name, district.name):
            wrong.append(district.name)

    assert wrong == []
    assert refused < 60


def test_every_division_given_level_by_level_is_accepted() -> None:
    """Each official triple passes unchanged, with full confidence and its code."""
    wrong = []
    for district in divisions().all_districts:
        city = district.city
        result = check_address(city.province.name, city.name, district.name, STREET)
        seen = (result.province, result.city, result.district, result.district_code)
        expected = (city.province.name, city.name, district.name, district.code)
        if seen != expected or not result.ok or result.confidence.lowest < 1:
            wrong.append(district.name)

    assert wrong == []


@pytest.mark.parametrize(
    ("name", "spellings", "stem"),
    [
        ("延边朝鲜族自治州", ("延边州",), "延边"),
        ("克孜勒苏柯尔克孜自治州", ("克孜勒苏州",), "克孜勒苏"),
        ("锡林郭勒盟", (), "锡林郭勒"),
        ("喀什地区", (), "喀什"),
        ("杭州市", (), "杭州"),
    ],
)
def test_city_short_forms(name: str, spellings: tuple[str, ...], stem: str) -> None:
    """The peoples and the rank fall away from a city's name, and nothing more."""
    forms = names.city_forms(name)

    assert forms == (spellings, stem)


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("石柱土家族自治县", "石柱"),
        ("积石山保安族东乡族撒拉族自治县", "积石山"),
        ("东乡族自治县", "东乡"),
        ("鄂温克族自治旗", "鄂温克"),
        ("忠县", ""),
        ("西湖区", "西湖"),
    ],
)
def test_district_stem(name: str, stem: str) -> None:
    """A stem of one character is none; a name that is a people keeps it."""
    found = names.district_forms(name, "")[2]

    assert found == stem


def test_reading_stops_at_a_road_named_like_a_city() -> None:
    """北京路 is a road: without a district below it the stem of a city proves nothing."""
    tokens, rest = read_levels("北京路12号", Tokens())

    assert tokens == Tokens()
    assert rest == "北京路12号"


def test_towns_have_nine_digits_and_unknown_districts_none() -> None:
    """Towns come with their official code; an unknown district simply has none."""
    towns = towns_of("330106")
    (hit,) = towns.get("西溪街道")

    assert hit.unit.code.startswith("330106")
    assert len(hit.unit.code) == 9
    assert towns_of("").longest("西溪街道", 0) == ""


@pytest.mark.parametrize(
    ("province", "remote"),
    [
        ("新疆", True),
        ("西藏自治区", True),
        ("海南省", True),
        ("广东", False),
        ("California", False),
    ],
)
def test_remote_provinces(province: str, remote: bool) -> None:
    """Remoteness is asked with any spelling; what is no province is not remote."""
    answer = is_remote(province)

    assert answer is remote
