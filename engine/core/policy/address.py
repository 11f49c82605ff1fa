"""Checks and completes addresses: Chinese ones against the divisions, others for completeness.

How a Chinese address is read: tokens are taken (the levels given, and what the street begins with),
then one resolver decides what the tokens mean. So a whole address in the street field, half an
address and a complete one obey the same rules.

Rules:
- Nothing is guessed: a level is inferred only where exactly one place fits; otherwise the
  candidates are named. A district the table does not know is accepted with a warning (the official
  list changes each year), unless it is known to lie in another city.
- Output names are official ones, with the places of `divisions` (no 市辖区). What was normalised
  beyond spaces and short forms is said in `warnings`.
- A town is recognised but stays in the street, for most carriers have no field for it.
- Streets are personal data: no message and no repr quotes them.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from functools import lru_cache

import msgspec

from engine.core.policy import fields
from engine.core.policy.data.names import HOUSE_WORDS, PSEUDO_CITIES
from engine.core.policy.divisions import (
    City,
    District,
    Form,
    Hit,
    Names,
    Province,
    Tokens,
    cities_of,
    districts_of,
    divisions,
    read_levels,
    skip_separators,
    town_at_start,
    towns_of,
)
from engine.core.policy.fields import FieldViolation

CERTAIN = 1.0
_OF_FORM = {Form.OFFICIAL: CERTAIN, Form.FORMER: 0.95, Form.SHORT: 0.9}
INFERRED = 0.85  # the only place that fits
UNKNOWN = 0.5  # accepted though the table does not have it
CANDIDATES_MAX = 6
_NAME_MAX = 15  # the longest official name; a longer "city" is an address in the wrong field


class Confidence(msgspec.Struct, frozen=True):
    """How sure each level is, 0 (missing) to 1 (written out and known)."""

    province: float = 0.0
    city: float = 0.0
    district: float = 0.0

    @property
    def lowest(self) -> float:
        """The weakest level."""
        return min(self.province, self.city, self.district)


class AddressResult(msgspec.Struct, frozen=True, kw_only=True):
    """An address in official names, or what is wrong with it; field paths relative to the address.

    Codes are GB/T 2260 (six digits, towns nine), "" where there is none.
    """

    province: str = ""
    city: str = ""
    district: str = ""
    town: str = ""
    street: str = ""
    province_code: str = ""
    city_code: str = ""
    district_code: str = ""
    town_code: str = ""
    confidence: Confidence = Confidence()
    warnings: tuple[str, ...] = ()
    violations: tuple[FieldViolation, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether a carrier can be given this address."""
        return not self.violations

    def __repr__(self) -> str:
        return (
            f"AddressResult({self.province}/{self.city}/{self.district}, street=***, "
            f"warnings={len(self.warnings)}, violations={self.violations})"
        )


def check_address(province: str, city: str, district: str, street: str, *, country_code: str = "CN") -> AddressResult:
    """Check one address; China's is completed from its street and put in official names.

    Other countries need a known country code, a city and a street; a province is optional.
    """
    text, warnings, violations = fields.clean_street(street)
    if country_code != "CN":
        violations += fields.check_foreign(country_code, city, text)
        return AddressResult(
            province=province.strip(),
            city=city.strip(),
            district=district.strip(),
            street=text,
            confidence=Confidence(CERTAIN, CERTAIN, CERTAIN),
            warnings=tuple(warnings),
            violations=tuple(violations),
        )
    given = Tokens(_compact(province), _compact(city), _compact(district))
    found, rest = (given, text) if given.complete else read_levels(text, given)
    place = _placed(found)
    if rest == text:
        rest = _without_repetition(text, place)
    if place.city is not None and not violations:
        violations += _contradiction(text, place.city)
    if not rest and not violations:
        violations.append(FieldViolation("street", "is missing", "give road, number, building and room"))
    if place.district and not given.district and place.confidence[2] == _OF_FORM[Form.SHORT]:
        warnings.append(f"district: {found.district} in the street was read as {place.district.name}")
    return _result(place, place.street_prefix + rest, warnings, violations)


def _result(place: _Place, street: str, warnings: list[str], violations: list[FieldViolation]) -> AddressResult:
    town = town_at_start(place.district.code, street) if place.district else None
    return AddressResult(
        province=place.province.name if place.province else "",
        city=place.city.name if place.city else "",
        district=place.district.name if place.district else "",
        town=town.name if town else "",
        street=street,
        province_code=place.province.code if place.province else "",
        city_code=place.city.code if place.city else "",
        district_code=place.district.code if place.district else "",
        town_code=town.code if town else "",
        confidence=Confidence(*place.confidence),
        warnings=(*place.warnings, *warnings),
        violations=(*place.violations, *violations),
    )


@lru_cache(maxsize=4096)
def _placed(tokens: Tokens) -> _Place:
    """What the names mean, worked out once for each of China's few thousand districts. Nobody changes it."""
    return _Resolver(tokens).resolve()


@lru_cache(maxsize=8192)
def _compact(level: str) -> str:
    """A level without any spaces, full-width and zero-width ones included."""
    return "".join(fields.without_invisible(level).split())


class _Place(msgspec.Struct):
    """What the resolver has found so far."""

    province: Province | None = None
    city: City | None = None
    district: District | None = None
    confidence: list[float] = msgspec.field(default_factory=lambda: [0.0, 0.0, 0.0])
    warnings: list[str] = msgspec.field(default_factory=list)
    violations: list[FieldViolation] = msgspec.field(default_factory=list)
    street_prefix: str = ""


class _Resolver:
    """Turns names into one place, or into what is wrong; stops at the first wrong level."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._place = _Place()

    def resolve(self) -> _Place:
        """Resolve province, city and district in that order."""
        if self._resolve_province() and self._resolve_city():
            self._resolve_district()
        return self._place

    def _wrong(self, field: str, description: str, remedy: str) -> bool:
        self._place.violations.append(FieldViolation(field, description, remedy))
        return False

    def _set_province(self, province: Province, confidence: float) -> None:
        self._place.province, self._place.confidence[0] = province, confidence

    def _set_city(self, city: City, confidence: float) -> bool:
        if self._place.province is None:
            self._set_province(city.province, INFERRED)
        self._place.city, self._place.confidence[1] = city, confidence
        return True

    def _set_district(self, district: District, confidence: float, note: str = "") -> None:
        self._place.district, self._place.confidence[2] = district, confidence
        if note:
            self._place.warnings.append(f"district: {note}")

    def _resolve_province(self) -> bool:
        name = self._tokens.province
        hits = divisions().provinces.get(name)
        if hits:
            self._set_province(hits[0].unit, _OF_FORM[hits[0].form])
        elif name:
            known = divisions().provinces.official()
            return self._wrong("province", f"{_quoted(name)} is no province of China", _near(name, known))
        return True

    def _resolve_city(self) -> bool:
        name, province = self._tokens.city, self._place.province
        if name in PSEUDO_CITIES:
            name = ""
        if not name and province and province.is_municipality:
            name = province.name
        if not name:
            return self._infer_city(self._tokens.district)
        hits = cities_of(province).get(name)
        if len(hits) > 1:
            candidates = ", ".join(f"{hit.unit.province.name}{hit.unit.name}" for hit in hits)
            return self._wrong("city", f"{name} may be {candidates}", "give the province")
        if not hits:
            return self._resolve_county_as_city(name)
        if hits[0].note:
            self._place.warnings.append(f"city: {hits[0].note}")
        return self._set_city(hits[0].unit, _OF_FORM[hits[0].form])

    def _infer_city(self, district: str) -> bool:
        province = self._place.province
        hits = districts_of(province).get(district)
        if len(hits) == 1:
            return self._set_city(hits[0].unit.city, INFERRED)
        if hits:
            return self._wrong(
                "city",
                f"{district} exists in {_places(hits)}",
                "give the city" if province else "give the province and the city",
            )
        if district and divisions().districts.get(district):
            return self._wrong_district(district)
        field = "city" if province else "province"
        return self._wrong(field, "is missing and not found in the street", "give province, city and district")

    def _resolve_county_as_city(self, name: str) -> bool:
        """昆山市 given as the city: lies in 苏州市, and the district is 昆山市 itself."""
        province = self._place.province
        counties = districts_of(province).get(name)
        if len(counties) == 1:
            county, below = counties[0].unit, self._tokens.district
            if below in ("", name, county.name) or towns_of(county.code).get(below):
                is_town = below not in ("", name, county.name)
                self._place.street_prefix = below if is_town else ""
                self._place.warnings.append(f"city: {name} is a district of {county.city.name}")
                self._tokens = msgspec.structs.replace(self._tokens, district=county.name)
                return self._set_city(county.city, INFERRED)
            home = f"{county.city.province.name}{county.city.name}"
            return self._wrong("city", f"{name} is a district of {home}", f"give {county.city.name} as the city")
        elsewhere = divisions().cities.get(name)
        if elsewhere and province:
            home = elsewhere[0].unit.province.name
            return self._wrong(
                "city",
                f"{elsewhere[0].unit.name} belongs to {home}, not {province.name}",
                f"give {home} as the province, or a city of {province.name}",
            )
        known = cities_of(province).official()
        within = province.name if province else "China"
        return self._wrong("city", f"{_quoted(name)} is no city of {within}", _near(name, known))

    def _resolve_district(self) -> None:
        city, name = self._place.city, self._tokens.district
        assert city is not None  # _resolve_city said so
        own = divisions().districts_in(city)
        hits = own.get(city.name) if city.is_county else own.get(name)
        if len(hits) > 1:
            candidates = " or ".join(hit.unit.name for hit in hits)
            self._wrong("district", f"{name} may be {candidates}", "write the name in full")
        elif hits:
            self._set_district(hits[0].unit, _OF_FORM[hits[0].form], hits[0].note)
            if city.is_county and name not in ("", city.name, *PSEUDO_CITIES):
                # 湖北省/仙桃市/沙嘴街道: what stands below the county belongs to the street.
                self._place.street_prefix = name if own.get(name) == () else ""
        elif not name or name == city.name:
            self._without_district(city, own)
        elif divisions().districts.get(name):
            self._wrong_district(name)
        elif not _looks_like_name(name):
            self._wrong("district", "is no name of a district", "put the road in the street")
        else:
            self._place.warnings.append(f"district: {_quoted(name)} is not in the table of {divisions().date}; kept")
            self._set_district(District(name, "", city), UNKNOWN)

    def _without_district(self, city: City, own: Names[District]) -> None:
        if city.has_towns_only:
            self._place.warnings.append(f"district: empty, {city.name} has towns only")
            return
        some = ", ".join(own.official()[:3])
        self._wrong("district", "is missing and not found in the street", f"give one such as {some}")

    def _wrong_district(self, name: str) -> bool:
        hits = divisions().districts.get(name)
        here = self._place.city or self._place.province
        assert here is not None  # only asked for with a province or a city
        verb = "belongs to" if len(hits) == 1 else "exists in"
        return self._wrong(
            "district",
            f"{hits[0].unit.name} {verb} {_places(hits)}, not {here.name}",
            f"give a district of {here.name}, or correct the city",
        )


def _places(hits: Sequence[Hit[District]]) -> str:
    """江苏省南京市, 江苏省徐州市 and so on, at most six."""
    homes = []
    for city in dict.fromkeys(hit.unit.city for hit in hits):
        homes.append(city.province.name + ("" if city.name == city.province.name else city.name))
    more = f" and {len(homes) - CANDIDATES_MAX} more" if len(homes) > CANDIDATES_MAX else ""
    return ", ".join(homes[:CANDIDATES_MAX]) + more


def _quoted(name: str) -> str:
    """The name, unless it looks like (part of) a street in the wrong field."""
    return name if _looks_like_name(name) else "the value"


def _looks_like_name(name: str) -> bool:
    return len(name) <= _NAME_MAX and not any(char.isdigit() for char in name)


def _near(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else "give its official name"


def _without_repetition(street: str, place: _Place) -> str:
    """The street without its own levels in front, unless they are part of a house's name."""
    at = 0
    for unit in (place.province, place.city, place.district):
        while unit is not None and street.startswith(unit.name, at):
            at = skip_separators(street, at + len(unit.name))
    return street if at == 0 or HOUSE_WORDS.match(street, at) else street[at:]


def _contradiction(street: str, city: City) -> list[FieldViolation]:
    """A street that begins with another city, written out down to its district, is refused."""
    table = divisions()
    if not (table.provinces.longest(street, 0, Form.OFFICIAL) or table.cities.longest(street, 0, Form.OFFICIAL)):
        return []
    tokens, _ = read_levels(street, Tokens())
    if not (tokens.city or tokens.province) or not tokens.district:
        return []
    other = _Resolver(tokens).resolve()
    if other.violations or other.city is None or other.city is city:
        return []
    home = other.city.province.name + other.city.name
    return [
        FieldViolation(
            "street",
            f"begins with a place in {home}, but the city is {city.name}",
            "correct the levels or the street",
        )
    ]
