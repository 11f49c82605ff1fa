"""The units of the division table and the indexes over them.

Rules:
- A name is looked up where it is meant: in a city, in a province or in the country.
- A spelling has a form: OFFICIAL ("杭州市", "延边州"), FORMER (old name or rank), SHORT ("杭州").
"""

from __future__ import annotations

from enum import IntEnum
from typing import Generic, TypeVar

import msgspec

from engine.core.policy.data import names


class Form(IntEnum):
    """How a name was spelled; the smaller, the surer."""

    OFFICIAL = 0
    FORMER = 1
    SHORT = 2


class Province(msgspec.Struct, frozen=True):
    """A province, autonomous region, municipality or special region; code of six digits."""

    name: str
    code: str

    @property
    def is_municipality(self) -> bool:
        """Whether it is its own city (北京, 天津, 上海, 重庆)."""
        return self.name in names.MUNICIPALITIES


class City(msgspec.Struct, frozen=True):
    """A city, prefecture or league, or a county directly under its province."""

    name: str
    code: str
    province: Province
    is_county: bool = False

    @property
    def has_towns_only(self) -> bool:
        """Whether towns stand in the place of its districts (东莞, 中山, 儋州, 嘉峪关)."""
        return self.code in names.TOWN_CITY_CODES


class District(msgspec.Struct, frozen=True):
    """A district, county, banner or county-level city (or a town of a city without districts)."""

    name: str
    code: str
    city: City


class Town(msgspec.Struct, frozen=True):
    """A town, township or street office inside a district; code of nine digits."""

    name: str
    code: str


Unit = TypeVar("Unit", bound=Province | City | District | Town)


class Hit(msgspec.Struct, Generic[Unit], frozen=True):
    """A unit found under a spelling; `note` says why the spelling is not today's official one."""

    unit: Unit
    form: Form
    note: str = ""


class Names(Generic[Unit]):
    """Spellings of units in one place, to be looked up whole or as the longest prefix of a text.

    A trie by first character and length: for each first character the lengths that occur, longest
    first, so that a prefix costs a handful of dictionary look-ups.
    """

    def __init__(self) -> None:
        self._hits: dict[str, tuple[Hit[Unit], ...]] = {}
        self._lengths: dict[str, tuple[int, ...]] = {}

    def add(self, spelling: str, unit: Unit, form: Form, note: str = "") -> None:
        """Record a spelling; of two units the one with the surer form keeps it."""
        known = self._hits.get(spelling, ())
        if any(hit.unit is unit or hit.form < form for hit in known):
            return
        kept = tuple(hit for hit in known if hit.form == form)
        self._hits[spelling] = (*kept, Hit(unit, form, note))
        lengths = {*self._lengths.get(spelling[0], ()), len(spelling)}
        self._lengths[spelling[0]] = tuple(sorted(lengths, reverse=True))

    def get(self, spelling: str) -> tuple[Hit[Unit], ...]:
        """Every unit of that spelling: none, one, or several when it is ambiguous."""
        return self._hits.get(spelling, ())

    def longest(self, text: str, start: int, form: Form = Form.SHORT) -> str:
        """The longest spelling, no less sure than `form`, that stands at `start`, or ""."""
        for length in self._lengths.get(text[start : start + 1], ()):
            spelling = text[start : start + length]
            hits = self._hits.get(spelling)
            if hits and hits[0].form <= form:
                return spelling
        return ""

    def official(self) -> list[str]:
        """All official names, in the order of the table; for suggestions."""
        return list(dict.fromkeys(hits[0].unit.name for hits in self._hits.values()))


class Divisions:
    """The whole table, indexed by level and by what lies in what."""

    def __init__(self, date: str) -> None:
        self.date = date
        self.provinces: Names[Province] = Names()
        self.cities: Names[City] = Names()
        self.districts: Names[District] = Names()
        self._cities_of: dict[str, Names[City]] = {}
        self._districts_of: dict[str, Names[District]] = {}
        self._districts_in: dict[tuple[str, str], Names[District]] = {}
        self.all_districts: list[District] = []

    def cities_of(self, province: Province) -> Names[City]:
        """The cities of a province."""
        return self._cities_of.setdefault(province.name, Names())

    def districts_of(self, province: Province) -> Names[District]:
        """All districts of a province, whatever their city."""
        return self._districts_of.setdefault(province.name, Names())

    def districts_in(self, city: City) -> Names[District]:
        """The districts of a city."""
        return self._districts_in.setdefault((city.province.name, city.name), Names())

    def add_province(self, province: Province) -> None:
        """Index a province under its name and short forms."""
        self.provinces.add(province.name, province, Form.OFFICIAL)
        for spelling in names.province_forms(province.name):
            self.provinces.add(spelling, province, Form.SHORT)

    def add_city(self, city: City) -> None:
        """Index a city within its province and within the country."""
        spellings, stem = names.city_forms(city.name)
        for table in (self.cities_of(city.province), self.cities):
            for spelling in (city.name, *spellings):
                table.add(spelling, city, Form.OFFICIAL)
            if len(stem) > 1 and not city.is_county:
                table.add(stem, city, Form.SHORT)
        for (province, former), (present, year) in names.FORMER_CITIES.items():
            if (province, present) == (city.province.name, city.name):
                note = f"{former} is {present} since {year}"
                self.cities_of(city.province).add(former, city, Form.FORMER, note)
                self.cities.add(former, city, Form.FORMER, note)

    def add_district(self, district: District) -> None:
        """Index a district within its city, its province and the country."""
        self.all_districts.append(district)
        city = district.city
        own = self.districts_in(city)
        stem_of_city = names.city_forms(city.name)[1] or city.name
        spellings, others, stem = names.district_forms(district.name, stem_of_city)
        wide = [self.districts_of(city.province), self.districts]
        for table in (own, *wide):
            table.add(district.name, district, Form.OFFICIAL)
        for spelling in spellings:
            own.add(spelling, district, Form.OFFICIAL)
        for table in wide:
            if spellings and "自治" in district.name:
                table.add(spellings[0], district, Form.OFFICIAL)
        if stem:
            own.add(stem, district, Form.SHORT)
            for table in wide:
                table.add(stem, district, Form.SHORT)
        for spelling in others:
            own.add(spelling, district, Form.FORMER, f"{spelling} is {district.name} in the table")

    def add_former_districts(self) -> None:
        """Index former names, once every present name is known."""
        for (city_name, former), (present, year) in names.FORMER_DISTRICTS.items():
            for city in self.cities.get(city_name):
                table = self.districts_in(city.unit)
                for hit in table.get(present):
                    note = f"{former} is {present} since {year}"
                    table.add(former, hit.unit, Form.FORMER, note)
