"""Masking: what GB/T 41833-2022 wants hidden is hidden, for every script and format."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.labels import mask_address, mask_name, mask_phone
from engine.labels.masking import COMPOUND_SURNAMES

_HAN = st.text(st.characters(min_codepoint=0x4E00, max_codepoint=0x9FFF), min_size=1, max_size=5)
_LATIN = st.text(st.characters(min_codepoint=0x41, max_codepoint=0x17F, categories=["Lu", "Ll"]))
_ARABIC = st.text(st.characters(min_codepoint=0x620, max_codepoint=0x64A), min_size=1)
_ANY = st.text(max_size=40)
_EMOJI = st.text(st.characters(min_codepoint=0x1F300, max_codepoint=0x1F64F), max_size=6)


@pytest.mark.parametrize(
    ("name", "masked"),
    [
        ("王", "*"),
        ("王明", "王*"),
        ("孙敏超", "孙**"),
        ("诸葛兰明", "诸葛**"),
        ("欧阳娜", "欧阳*"),
        ("欧阳", "欧*"),
        ("𠮷桂㛃", "𠮷**"),
        ("买买提·吐尔逊", "买**·吐**"),
        ("John Smith", "J*** S****"),
        ("Zoë O'Neil", "Z** O****"),
        ("山田 太郎", "山* 太*"),
        ("محمد علي", "م*** ع**"),
        ("😀", "*"),
        ("\u200b王明", "王*"),
        ("", ""),
    ],
)
def test_name_keeps_only_the_start_of_each_word(name: str, masked: str) -> None:
    """A masked name shows a family name or initials and nothing else."""
    result = mask_name(name)

    assert result == masked


@given(st.one_of(_HAN, _LATIN, _ARABIC, _EMOJI, _ANY))
def test_name_never_survives_whole(name: str) -> None:
    """Every name with a letter in it loses at least one character, whatever its script."""
    result = mask_name(name)

    has_word = any(character.isalnum() for character in name)
    assert not has_word or "*" in result
    assert not has_word or result != name.strip()


@given(st.sampled_from(sorted(COMPOUND_SURNAMES)), _HAN)
def test_compound_surname_stays_and_given_name_goes(surname: str, given_name: str) -> None:
    """Both characters of a compound family name stay; every character of the given name goes."""
    result = mask_name(surname + given_name)

    assert result == surname + "*" * min(len(given_name), 4)


@pytest.mark.parametrize(
    ("phone", "masked"),
    [
        ("19900000015", "199******15"),
        ("+86 19900000015", "+86 199******15"),
        ("008619900000015", "0086199******15"),
        ("１９９００００００１５", "199******15"),
        ("0755-12345678", "0755-******78"),
        ("12345678", "******78"),
        ("12345", "*****"),
        ("张三 19900000015", "** 199******15"),
        ("0755-12345678转801", "0755-********转*01"),
        ("", ""),
    ],
)
def test_phone_hides_its_middle(phone: str, masked: str) -> None:
    """The ends of a number stay readable, at least six digits do not."""
    result = mask_phone(phone)

    assert result == masked


@given(
    st.sampled_from(["", "+86", "+86 ", "0086", "+1 ", "+49", "(0755)"]),
    st.lists(st.sampled_from("0123456789"), max_size=20),
    st.sampled_from(["", "-", " "]),
)
def test_phone_hides_six_digits_or_all(prefix: str, digits: list[str], joint: str) -> None:
    """Of any number at least six digits are hidden, or all when there are no more."""
    phone = prefix + joint.join(digits)

    result = mask_phone(phone)

    own_digit_count = len(digits) + sum(c.isdigit() for c in prefix if "86" not in prefix)
    assert result.count("*") >= min(6, own_digit_count)
    assert len(result) == len(phone.strip())


@pytest.mark.parametrize(
    ("address", "masked"),
    [
        ("建设街357号11栋403室", "建设街357号11栋***室"),
        ("建设街357号11栋403\n\t室", "建设街357号11栋***室"),
        ("天府大道2号样例小区5栋101", "天府大道2号样例小区5栋***"),
        ("文三路1号样例大厦3层", "文三路1号样例大厦***层"),
        ("5号楼2单元1203", "5号楼***单元***"),
        ("阳光花园5号楼2单元1203户", "阳光花园5号楼***单元***户"),
        ("A座1203", "A座***"),
        ("8栋1203\u200b室", "8栋***室"),
        ("三单元四零二室", "***单元***室"),
        ("十二号楼三单元一千零一室", "十二号楼***单元***室"),
        ("5栋一万零二百室", "5栋***室"),
        ("三单元贰仟零叁室", "***单元***室"),
        ("十二号楼一千二百零一", "十二号楼***"),
        ("8栋一千零一号房", "8栋***号房"),
        ("样例大厦二十三层一二零三", "样例大厦***层***"),
        ("样例大厦一千零三", "样例大厦***"),
        ("５号楼２单元１２０３", "５号楼***单元***"),
        ("１１栋１００１室", "１１栋***室"),
        ("幸福小区１２－３－５０１", "幸福小区１２－***"),
        ("西门万达广场", "西门万达广场"),
        ("文三路一百二十三", "文三路一百二十三"),
        ("雷山县西江千户苗寨8号", "雷山县西江千户苗寨8号"),
        ("幸福小区12-3-501", "幸福小区12-***"),
        ("样例大厦1203", "样例大厦***"),
        ("1250 S Figueroa St Apt 1402, 90015", "1250 S Figueroa St Apt ***, 90015"),
        ("12 Main St #12", "12 Main St #***"),
        ("8 Queen Rd Flat B", "8 Queen Rd Flat ***"),
        ("文三路123", "文三路123"),
        ("文三路23-1号", "文三路23-1号"),
        ("三门峡市湖滨区八户镇3号", "三门峡市湖滨区八户镇3号"),
        ("東京都千代田区丸の内, 100-0005", "東京都千代田区丸の内, 100-0005"),
    ],
)
def test_address_hides_unit_and_room_and_nothing_more(address: str, masked: str) -> None:
    """Units, floors and rooms go; roads, house numbers, buildings and place names stay."""
    result = mask_address(address)

    assert result == masked


@given(
    st.sampled_from(["建设街357号", "阳光花园", "黄河路9号万科城"]),
    st.integers(1, 99),
    st.sampled_from(["栋", "号楼", "幢", "座"]),
    st.sampled_from(["", "2单元", "甲单元"]),
    st.integers(101, 3999),
    st.sampled_from(["室", "号房", "户", "房间", "", " 室"]),
)
def test_room_number_is_gone_however_it_is_written(
    street: str, building: int, kind: str, unit: str, room: int, suffix: str
) -> None:
    """No way of writing building, unit and room leaves the room number on the label."""
    result = mask_address(f"{street}{building}{kind}{unit}{room}{suffix}")

    assert result.startswith(f"{street}{building}{kind}")
    assert not re.search(r"\d", result[len(f"{street}{building}{kind}") :])


def _numeral(number: int) -> str:
    """A number up to 99,999 as it is said: 10,203 is 一万零二百零三."""
    digits = "零一二三四五六七八九"
    said = "".join(
        digits[figure] + unit if (figure := number // value % 10) else "零"
        for value, unit in ((10_000, "万"), (1_000, "千"), (100, "百"), (10, "十"), (1, ""))
    )
    return re.sub("零+", "零", said).strip("零")


@given(
    st.sampled_from(["12号楼", "十二号楼三单元", "A座", "5栋甲单元"]),
    st.integers(11, 99_999),
    st.sampled_from([_numeral, lambda n: str(n).translate(str.maketrans("0123456789", "〇一二三四五六七八九"))]),
    st.sampled_from(["室", "号室", " 室", ""]),
)
def test_room_number_in_numerals_is_gone(building: str, room: int, said: Callable[[int], str], suffix: str) -> None:
    """A number up to 万, spelled out or digit by digit, leaves no numeral behind the building."""
    result = mask_address(f"黄河路9号{building}{said(room)}{suffix}")

    assert result.endswith("***" + suffix.strip())
    assert not re.search("[〇零一二三四五六七八九十百千万]", result.rpartition("楼")[2])
