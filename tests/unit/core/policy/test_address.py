"""Addresses: completed and put in official names, or refused with the field and the remedy."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.policy.address import AddressResult, check_address
from engine.core.policy.data.countries import COUNTRY_CODES
from engine.core.policy.fields import (
    FieldViolation,
    check_country_code,
    check_name,
    check_postal_code,
    prefixed,
)

ROAD = "文三路1号"


def levels(result: AddressResult) -> tuple[str, str, str]:
    return result.province, result.city, result.district


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("广东", "广州", "天河"), ("广东省", "广州市", "天河区")),
        ((" 浙江省\u3000", "杭 州市", "西湖区 "), ("浙江省", "杭州市", "西湖区")),
        (("内蒙古", "锡林郭勒", "苏尼特右旗"), ("内蒙古自治区", "锡林郭勒盟", "苏尼特右旗")),
        (("新疆", "喀什", "喀什市"), ("新疆维吾尔自治区", "喀什地区", "喀什市")),
        (("广西", "梧州", "藤县"), ("广西壮族自治区", "梧州市", "藤县")),
        (("宁夏", "银川", "兴庆区"), ("宁夏回族自治区", "银川市", "兴庆区")),
        (("西藏", "拉萨", "城关区"), ("西藏自治区", "拉萨市", "城关区")),
        (("重庆市", "县", "石柱土家族自治县"), ("重庆市", "重庆市", "石柱土家族自治县")),
        (("重庆", "市辖区", "渝北区"), ("重庆市", "重庆市", "渝北区")),
        (("北京市", "", "朝阳区"), ("北京市", "北京市", "朝阳区")),
        (("湖北省", "省直辖县级行政区划", "仙桃市"), ("湖北省", "仙桃市", "仙桃市")),
        (("湖北省", "仙桃市", ""), ("湖北省", "仙桃市", "仙桃市")),
        (
            ("新疆维吾尔自治区", "自治区直辖县级行政区划", "石河子市"),
            ("新疆维吾尔自治区", "石河子市", "石河子市"),
        ),
        (("江苏省", "苏州市", "苏州工业园区"), ("江苏省", "苏州市", "苏州工业园区")),
        (("广东省", "中山市", "大涌镇"), ("广东省", "中山市", "大涌镇")),
        (("海南省", "儋州市", "那大镇"), ("海南省", "儋州市", "那大镇")),
        (("台湾省", "台北市", "大安区"), ("台湾省", "台北市", "大安区")),
        (("", "杭州市", "西湖区"), ("浙江省", "杭州市", "西湖区")),
        (("浙江省", "", "西湖区"), ("浙江省", "杭州市", "西湖区")),
    ],
)
def test_given_levels_become_official_names(given: tuple[str, str, str], expected: tuple[str, str, str]) -> None:
    """Short forms, spaces and headings of the official table are normalised without complaint."""
    result = check_address(*given, ROAD)

    assert result.violations == ()
    assert levels(result) == expected
    assert result.street == ROAD


@pytest.mark.parametrize(
    ("given", "district", "note"),
    [
        (("天津市", "天津市", "蓟县"), "蓟州区", "since 2016"),
        (("上海市", "上海市", "闸北区"), "静安区", "since 2015"),
        (("浙江省", "杭州市", "富阳市"), "富阳区", "in the table"),
        (("江苏省", "昆山市", "玉山镇"), "昆山市", "is a district of 苏州市"),
    ],
)
def test_former_name_or_rank_is_accepted_with_warning(given: tuple[str, str, str], district: str, note: str) -> None:
    """What was renamed or misplaced beyond doubt is corrected, and the correction is said."""
    result = check_address(*given, ROAD)

    assert result.violations == ()
    assert result.district == district
    assert note in result.warnings[0]


@pytest.mark.parametrize(
    ("street", "expected"),
    [
        ("江西省宜春市靖安县文三路1号", ("江西省", "宜春市", "靖安县")),
        ("江西省 宜春市，靖安县 文三路1号", ("江西省", "宜春市", "靖安县")),
        ("中国江西省宜春市靖安县文三路1号", ("江西省", "宜春市", "靖安县")),
        ("宜春市靖安县文三路1号", ("江西省", "宜春市", "靖安县")),
        ("靖安县文三路1号", ("江西省", "宜春市", "靖安县")),
        ("上海市金山区文三路1号", ("上海市", "上海市", "金山区")),
        ("上海市上海市金山区文三路1号", ("上海市", "上海市", "金山区")),
        ("重庆市县石柱县文三路1号", ("重庆市", "重庆市", "石柱土家族自治县")),
        ("浙江杭州西湖文三路1号", ("浙江省", "杭州市", "西湖区")),
        ("广东天河区文三路1号", ("广东省", "广州市", "天河区")),
        ("江西抚州东乡区文三路1号", ("江西省", "抚州市", "东乡区")),
        ("湖南省长沙县文三路1号", ("湖南省", "长沙市", "长沙县")),
        ("吉林市昌邑区文三路1号", ("吉林省", "吉林市", "昌邑区")),
        ("海南州共和县文三路1号", ("青海省", "海南藏族自治州", "共和县")),
        ("湖北省仙桃市仙桃市文三路1号", ("湖北省", "仙桃市", "仙桃市")),
        ("广东省东莞市南城区文三路1号", ("广东省", "东莞市", "南城街道")),
        ("济南市高新区文三路1号", ("山东省", "济南市", "济南高新技术产业开发区")),
    ],
)
def test_whole_address_in_the_street_is_read(street: str, expected: tuple[str, str, str]) -> None:
    """Levels that stand only in the street are found there and taken out of it."""
    result = check_address("", "", "", street)

    assert result.violations == ()
    assert levels(result) == expected
    assert result.street == ROAD


@pytest.mark.parametrize(
    ("given", "street"),
    [
        (("浙江省", "杭州市", ""), "西湖区文三路1号"),
        (("浙江省", "", ""), "杭州市西湖区文三路1号"),
        (("", "", "西湖区"), "浙江省杭州市西湖区文三路1号"),
        (("浙江省", "杭州市", "西湖区"), "浙江省杭州市西湖区文三路1号"),
        (("浙江省", "杭州市", "西湖区"), "西湖区 文三路1号"),
    ],
)
def test_street_fills_gaps_and_loses_repetition(given: tuple[str, str, str], street: str) -> None:
    """Missing levels come from the street, and levels said twice stand once."""
    result = check_address(*given, street)

    assert result.violations == ()
    assert levels(result) == ("浙江省", "杭州市", "西湖区")
    assert result.street == ROAD


@pytest.mark.parametrize("street", ["西湖区政府3号", "杭州市第一人民医院", "杭州路8号", "西湖文化广场2号"])
def test_name_of_a_house_or_road_is_not_cut(street: str) -> None:
    """A district's name inside the name of a house or road is no repetition."""
    result = check_address("浙江省", "杭州市", "西湖区", street)

    assert result.street == street


@pytest.mark.parametrize(
    ("given", "violation"),
    [
        (("广东省", "杭州市", "西湖区", ROAD), "city: 杭州市 belongs to 浙江省, not 广东省"),
        (("", "", "", "广东省杭州市西湖区文三路1号"), "city: 杭州市 belongs to 浙江省, not 广东省"),
        (
            ("广东", "广洲市", "天河区", ROAD),
            "city: 广洲市 is no city of 广东省; did you mean 广州市?",
        ),
        (("广冬省", "广州市", "天河区", ROAD), "province: 广冬省 is no province of China; did you"),
        (
            ("广东省", "广州市", "南山区", ROAD),
            "district: 南山区 exists in 黑龙江省鹤岗市, 广东省深圳市",
        ),
        (
            ("广东省", "广州市", "浦东新区", ROAD),
            "district: 浦东新区 belongs to 上海市, not 广州市",
        ),
        (("浙江省", "杭州市", "", ROAD), "district: is missing"),
        (("", "", "", "人民路18号"), "province: is missing"),
        (("", "", "", "浙江省人民路18号"), "city: is missing"),
        (("", "", "", "江苏鼓楼区中山路1号"), "city: 鼓楼区 exists in 江苏省南京市, 江苏省徐州市;"),
        (("", "", "", "浙江省杭州市西湖区"), "street: is missing"),
        (("浙江省", "杭州市", "西湖区", " "), "street: is missing"),
        (
            ("浙江省", "杭州市", "西湖区", "江苏省南京市鼓楼区中山路1号"),
            "street: begins with a place in 江苏省南京市, but the city is 杭州市",
        ),
        (
            ("浙江省", "杭州市", "西湖区", "文三路7\n\t7号"),
            "street: has a line break or tab inside",
        ),
    ],
)
def test_wrong_address_names_field_and_remedy(given: tuple[str, ...], violation: str) -> None:
    """What does not fit is one violation, at the field that is wrong."""
    result = check_address(*given)

    assert len(result.violations) == 1
    assert str(result.violations[0]).startswith(violation)
    assert result.violations[0].remedy


def test_ambiguous_district_names_its_candidates() -> None:
    """A district name of several cities is not guessed; all of them are offered."""
    (violation,) = check_address("", "", "", "鼓楼区中山路1号").violations

    assert violation.field == "city"
    assert all(city in violation.description for city in ("南京市", "徐州市", "福州市", "开封市"))


def test_unknown_district_of_a_known_city_is_kept_with_warning() -> None:
    """The official list changes each year, so a new district passes, with little confidence."""
    result = check_address("广东省", "广州市", "星河新区", ROAD)

    assert result.violations == ()
    assert result.district == "星河新区"
    assert result.confidence.district == 0.5
    assert "not in the table of 2023-06-30" in result.warnings[0]


def test_codes_and_town_come_with_the_names() -> None:
    """Official codes accompany each level; a town is recognised and stays in the street."""
    result = check_address("浙江省", "杭州市", "西湖区", "西溪街道文三路1号")

    assert (result.province_code, result.city_code, result.district_code) == (
        "330000",
        "330100",
        "330106",
    )
    assert result.town == "西溪街道"
    assert result.town_code.startswith("330106")
    assert result.street == "西溪街道文三路1号"


def test_confidence_falls_with_what_was_inferred() -> None:
    """A province that had to be inferred is less sure than one written out."""
    inferred = check_address("", "", "", "宜春市靖安县文三路1号").confidence
    written = check_address("", "", "", "江西省宜春市靖安县文三路1号").confidence

    assert inferred.province < written.province == 1.0
    assert inferred.lowest == inferred.province


def test_line_break_between_words_is_mended_with_warning() -> None:
    """A break that splits no number is taken out, and the result says so."""
    result = check_address("浙江省", "杭州市", "西湖区", "文三\n\t路1号")

    assert (result.street, result.violations) == (ROAD, ())
    assert len(result.warnings) == 1


@pytest.mark.parametrize(
    ("country", "city", "street", "fields"),
    [
        ("US", "Los Angeles", "1250 S Figueroa St Apt 1402", ()),
        ("JP", "千代田区", "丸の内1-9-1", ()),
        ("DE", "", "Invalidenstr. 117", ("city",)),
        ("AU", "Sydney", " ", ("street",)),
        ("XX", "Sydney", "1 Macquarie St", ("country_code",)),
        ("us", "", "", ("country_code", "city", "street")),
    ],
)
def test_foreign_address_needs_country_city_and_street(
    country: str, city: str, street: str, fields: tuple[str, ...]
) -> None:
    """Outside China nothing but presence is checked, and every gap is reported at once."""
    result = check_address("", city, "", street, country_code=country)

    assert tuple(found.field for found in result.violations) == fields


def test_street_stays_out_of_repr_and_messages() -> None:
    """Streets are personal data: neither repr nor a violation shows one, even in a wrong field."""
    secret = "江西省无名市某某路486号阳光花园8栋2910室"
    result = check_address("江西省", secret, "某某区", secret)

    assert not result.ok
    assert "486" not in repr(result)


@pytest.mark.parametrize("district", ["西湖区文三路1号", "某" * 16])
def test_street_in_the_district_field_is_refused(district: str) -> None:
    """An unknown district passes only when it can be a name."""
    (violation,) = check_address("浙江省", "杭州市", district, ROAD).violations

    assert violation.field == "district"
    assert district not in str(violation)


PIECES = st.sampled_from(
    [
        "浙江省",
        "杭州",
        "市",
        "西湖区",
        "县",
        "北京",
        "仙桃市",
        "鼓楼区",
        "省直辖县级行政区划",
        " ",
        "路1号",
        "\n",
    ]
)


@given(
    levels=st.tuples(*[st.lists(PIECES, max_size=3).map("".join)] * 3),
    street=st.lists(PIECES | st.text(max_size=4), max_size=6).map("".join),
)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_any_text_is_answered(levels: tuple[str, str, str], street: str) -> None:
    """No combination of names raises: the result is complete, or says what is wrong."""
    result = check_address(*levels, street)

    assert result.violations or (result.province and result.city and result.street)


def test_prefixed_violations_name_the_whole_path() -> None:
    """A violation seen from the order carries the path of the address."""
    (found,) = prefixed(check_address("广东省", "杭州市", "西湖区", ROAD).violations, "recipient.address")

    assert str(found).startswith("recipient.address.city: 杭州市 belongs to 浙江省, not 广东省; ")


@pytest.mark.parametrize(("code", "accepted"), [("CN", True), ("cn", False), ("ZZ", False), ("", False)])
def test_country_code_is_iso_3166_in_capitals(code: str, accepted: bool) -> None:
    """Only the 249 assigned codes pass, in capitals."""
    found = check_country_code(code)

    assert (found == ()) is accepted
    assert len(set(COUNTRY_CODES)) == 249


@pytest.mark.parametrize(
    ("code", "country", "accepted"),
    [("310000", "CN", True), ("", "CN", True), ("31000", "CN", False), ("90015-1", "US", True)],
)
def test_chinese_postal_code_has_six_digits(code: str, country: str, accepted: bool) -> None:
    """A Chinese postal code may be left out, but not be wrong."""
    found = check_postal_code(code, country)

    assert (found == ()) is accepted


@pytest.mark.parametrize(
    ("name", "descriptions"),
    [
        ("𠮷玉㛃", ()),
        ("\u200b ", ("is empty",)),
        ("王" * 101, ("has 101 characters, 100 are allowed",)),
        ("王\n芳", ("holds line breaks, tabs or other control characters",)),
    ],
)
def test_name_is_present_short_and_printable(name: str, descriptions: tuple[str, ...]) -> None:
    """Rare characters are names; blanks, essays and line breaks are not."""
    found: tuple[FieldViolation, ...] = check_name(name)

    assert tuple(violation.description for violation in found) == descriptions
