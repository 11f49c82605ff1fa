"""The administrative divisions of China: loading them, and reading them off the front of a text.

Loaded once from bundled data (see data/NOTICE for source and date), on first use.

Rules:
- The headings of the official table are no places. A municipality is its own city (重庆市 for
  市辖区 and 县 alike); a county directly below its province is its own city (仙桃市/仙桃市).
- Codes are GB/T 2260: six digits down to districts, nine for towns (also where towns stand in the
  place of districts, as in 东莞市); empty below 台湾, 香港 and 澳门, for which the source has none.
- Reading takes the longest name at each step and says what stands there, not what is meant: whether
  the names fit together is decided by the one who asked.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from functools import cache, lru_cache
from importlib import resources

import msgspec

from engine.core.policy.data import names
from engine.core.policy.data.names import COUNTRY_WORDS, PSEUDO_CITIES, ROAD_WORDS, ZONE
from engine.core.policy.data.table import (
    City,
    District,
    Divisions,
    Form,
    Hit,
    Names,
    Province,
    Town,
)

__all__ = [
    "City",
    "District",
    "Form",
    "Hit",
    "Names",
    "Province",
    "Tokens",
    "Town",
    "cities_of",
    "data_date",
    "districts_of",
    "divisions",
    "is_remote",
    "read_levels",
    "skip_separators",
    "town_at_start",
    "towns_of",
]

_SEPARATORS = " \t\r\n\u3000,，、;；:：/|-—_·."


@cache
def divisions() -> Divisions:
    """The bundled table (about 3,800 units); reads and indexes it on the first call."""
    lines = _lines("divisions.tsv.gz")
    table = Divisions(lines[0].removeprefix("# "))
    _Reader(table).read(lines[1:])
    table.add_former_districts()
    return table


class _Reader:
    """Turns the depth-first lines of the file into units, and headings into places."""

    def __init__(self, table: Divisions) -> None:
        self._table = table
        self._province = Province("", "")
        self._city: City | None = None  # None below a heading that is no place

    def read(self, lines: Iterable[str]) -> None:
        """Add every line; a municipality's headings (市辖区, 县) become one city."""
        for line in lines:
            level, code, name = line.split("\t")
            if level == "P":
                self._start_province(name, code)
            elif level == "C":
                self._start_city(name, code)
            else:
                self._add_district(name, code)

    def _start_province(self, name: str, code: str) -> None:
        self._province = Province(name, code.ljust(6, "0"))
        self._table.add_province(self._province)
        self._city = None
        if self._province.is_municipality:
            self._city = City(name, code + "0100", self._province)
            self._table.add_city(self._city)

    def _start_city(self, name: str, code: str) -> None:
        if self._province.is_municipality:
            return
        self._city = None
        if name not in names.PSEUDO_CITIES:
            self._city = City(name, code and code + "00", self._province)
            self._table.add_city(self._city)

    def _add_district(self, name: str, code: str) -> None:
        city = self._city
        if city is None:
            city = City(name, code[:4] + "00", self._province, is_county=True)
            self._table.add_city(city)
        self._table.add_district(District(name, code, city))


@cache
def _town_lines() -> dict[str, str]:
    """District code -> its towns, still as text; split per district when asked for."""
    return dict(line.split("\t") for line in _lines("towns.tsv.gz"))


@lru_cache(maxsize=256)
def towns_of(district_code: str) -> Names[Town]:
    """The towns of a district; empty where none are known (台湾, 香港, 澳门, unknown districts)."""
    table: Names[Town] = Names()
    listed = _town_lines().get(district_code, "")
    for entry in filter(None, listed.split(",")):
        name, suffix = entry.rsplit(":", 1)
        table.add(name, Town(name, district_code + suffix), Form.OFFICIAL)
    return table


def town_at_start(district_code: str, text: str) -> Town | None:
    """The town a street begins with, if any; most begin with a road, which costs one scan."""
    # Towns are only unpacked for a text that shares two characters with one of them.
    listed = _town_lines().get(district_code, "")
    head = text[:2]
    if len(head) < 2 or not (listed.startswith(head) or f",{head}" in listed):
        return None
    towns = towns_of(district_code)
    name = towns.longest(text, 0)
    return towns.get(name)[0].unit if name else None


def _lines(name: str) -> list[str]:
    packed = resources.files("engine.core.policy.data").joinpath(name).read_bytes()
    return gzip.decompress(packed).decode("utf-8").splitlines()


def data_date() -> str:
    """The day (ISO 8601) on which the official table behind the data was closed."""
    return divisions().date


def is_remote(province: str) -> bool:
    """Whether carriers count the province as remote (surcharge, later delivery); any spelling."""
    return any(hit.unit.name in names.REMOTE_PROVINCES for hit in divisions().provinces.get(province))


class Tokens(msgspec.Struct, frozen=True):
    """Names as written, "" where nothing was said."""

    province: str = ""
    city: str = ""
    district: str = ""

    @property
    def complete(self) -> bool:
        return bool(self.province and self.city and self.district)


class _Scope(msgspec.Struct, frozen=True):
    """How far a text has been read: the names so far and, where they are sure, their units."""

    tokens: Tokens
    province: Province | None = None
    city: City | None = None
    stems: bool = True  # whether 西湖 may stand for 西湖区

    def enter_province(self, name: str) -> _Scope:
        hits = divisions().provinces.get(name)
        unit = hits[0].unit if len(hits) == 1 else None
        tokens = msgspec.structs.replace(self.tokens, province=name)
        inside = msgspec.structs.replace(self, tokens=tokens, province=unit)
        # A municipality is its own city: the district follows at once.
        return inside.enter_city(name) if unit and unit.is_municipality else inside

    def enter_city(self, name: str) -> _Scope:
        hits = cities_of(self.province).get(name)
        unit = hits[0].unit if len(hits) == 1 else None
        tokens = msgspec.structs.replace(self.tokens, city=name)
        province = self.province or (unit and unit.province)
        return msgspec.structs.replace(self, tokens=tokens, province=province, city=unit)

    def enter_district(self, name: str) -> _Scope:
        return msgspec.structs.replace(self, tokens=msgspec.structs.replace(self.tokens, district=name))


def cities_of(province: Province | None) -> Names[City]:
    """The cities of a province, or of the country while the province is not known."""
    return divisions().cities_of(province) if province else divisions().cities


def districts_of(province: Province | None) -> Names[District]:
    """The districts of a province, or of the country while the province is not known."""
    return divisions().districts_of(province) if province else divisions().districts


def read_levels(text: str, given: Tokens) -> tuple[Tokens, str]:
    """Read the levels a street begins with; returns all levels known then, and what is left.

    Longest names win. Levels in `given` hold: the street may repeat them, not change them.
    """
    scope = _Scope(Tokens(), stems=not (given.city or given.district))
    if given.province:
        scope = scope.enter_province(given.province)
    if given.city and given.city not in PSEUDO_CITIES:
        scope = scope.enter_city(given.city)
    start = skip_separators(text, 0)
    for word in COUNTRY_WORDS:
        if text.startswith(word, start):
            start = skip_separators(text, start + len(word))
            break
    scope, end = _read(text, start, scope)
    known = Tokens(
        given.province or scope.tokens.province,
        given.city or scope.tokens.city,
        given.district or scope.tokens.district,
    )
    return known, text[skip_separators(text, end) :] if end > start else text


def skip_separators(text: str, start: int) -> int:
    """The next position that holds no space or punctuation between levels."""
    while start < len(text) and text[start] in _SEPARATORS:
        start += 1
    return start


def _read(text: str, start: int, scope: _Scope) -> tuple[_Scope, int]:
    """Take the next level and, recursively, those below it; a stem needs proof.

    杭州 in 杭州西湖区 is the city, for a district follows; in 杭州路12号 it is the name of a road.
    """
    begin = skip_separators(text, start)
    spelling, inner, is_stem = _next_level(text, begin, scope)
    if not spelling:
        return scope, start
    end = begin + len(spelling)
    lower, last = _read(text, end, inner)
    if is_stem and last == end and ROAD_WORDS.match(text, end):
        return scope, start
    return lower, last


_Step = tuple[str, _Scope, bool]  # the name, the scope inside it, whether it is only a stem


def _next_level(text: str, at: int, scope: _Scope) -> _Step:
    """The longest name of a next or repeated level; its name is "" when there is none."""
    if scope.tokens.district:
        return "", scope, False
    heading = next((name for name in PSEUDO_CITIES if scope.province and text.startswith(name, at)), "")
    if heading and _next_level(text, at + len(heading), scope)[0]:
        return heading, scope, False
    steps = (
        _province_step(text, at, scope),
        _city_step(text, at, scope),
        _district_step(text, at, scope),
    )
    best = max(steps, key=lambda step: len(step[0]))
    return best if best[0] else _odd_step(text, at, scope)


def _province_step(text: str, at: int, scope: _Scope) -> _Step:
    table, province = divisions().provinces, scope.province
    name = table.longest(text, at)
    if not name or (scope.city is not None and not (province and province.is_municipality)):
        return "", scope, False
    hit = table.get(name)[0]
    if province is not None and hit.unit is not province:
        return "", scope, False
    return name, scope if province else scope.enter_province(name), hit.form is Form.SHORT


def _city_step(text: str, at: int, scope: _Scope) -> _Step:
    table = cities_of(scope.province)
    name = table.longest(text, at)
    hits = table.get(name)
    if not name or (scope.city is not None and all(hit.unit is not scope.city for hit in hits)):
        return "", scope, False
    return name, scope.enter_city(name), hits[0].form is Form.SHORT


def _district_step(text: str, at: int, scope: _Scope) -> _Step:
    if scope.city is not None:
        own = divisions().districts_in(scope.city)
        name = own.longest(text, at, Form.SHORT if scope.stems else Form.FORMER)
        return name, scope.enter_district(name), bool(name) and own.get(name)[0].form is Form.SHORT
    name = districts_of(scope.province).longest(text, at, Form.OFFICIAL)
    if not _is_telling(name) and not (scope.province and len(name) > 2):
        return "", scope, False
    return name, scope.enter_district(name), False


def _odd_step(text: str, at: int, scope: _Scope) -> _Step:
    """What does not fit the table, to be judged by name: a zone of its own, a place elsewhere."""
    if scope.city is None and scope.province is not None:
        name = divisions().cities.longest(text, at, Form.OFFICIAL)
        if name:
            return name, scope.enter_city(name), False
    if scope.province is None:
        return "", scope, False
    name = divisions().districts.longest(text, at, Form.OFFICIAL)
    if _is_telling(name):
        return name, scope.enter_district(name), False
    zone = ZONE.match(text, at) if scope.city is not None else None
    return (zone.group(), scope.enter_district(zone.group()), False) if zone else ("", scope, False)


def _is_telling(name: str) -> bool:
    """Whether a district's name alone says that a district is meant.

    东区 or 城区 may be part of a housing estate, and 仁爱乡 part of any address.
    """
    return name.endswith(("县", "区", "市", "旗")) and (len(name) > 2 or name.endswith("县"))
