"""Masks names, phone numbers and addresses for print, as GB/T 41833-2022 asks.

The standard: a printed waybill hides at least one character of each name, at least six digits
of each phone number, and the unit and room number. Pure functions of text; when in doubt they
hide more. What must be hidden beyond the standard is decided here alone.
"""

from __future__ import annotations

import re
import unicodedata

from engine.labels.cleaning import clean_text

#: Hidden digits of a phone number: the standard's floor.
HIDDEN_DIGIT_COUNT = 6
#: Stars shown for the hidden rest of one word: enough to see, too few to count the letters.
MAX_STAR_COUNT = 4

#: 复姓. A name that starts with one of these keeps both characters of the family name.
_COMPOUND_SURNAMES_TEXT = (
    "欧阳 太史 端木 上官 司马 东方 独孤 南宫 万俟 闻人 夏侯 诸葛 尉迟 公羊 "
    "赫连 澹台 皇甫 宗政 濮阳 公冶 太叔 申屠 公孙 慕容 仲孙 钟离 长孙 宇文 "
    "司徒 鲜于 司空 闾丘 子车 亓官 司寇 巫马 公西 颛孙 壤驷 公良 漆雕 乐正 "
    "宰父 谷梁 拓跋 夹谷 轩辕 令狐 段干 百里 呼延 东郭 南门 羊舌 微生 梁丘 "
    "左丘 东门 西门 第五 歐陽 司馬 東方 諸葛 尉遲 赫連 澹臺 慕容 鍾離 長孫 "
    "鮮于 令狐 軒轅 "
)
COMPOUND_SURNAMES = frozenset(_COMPOUND_SURNAMES_TEXT.split())

_NAME_SEPARATORS = re.compile(r"([\s·•‧・,，.\-/&()（）]+)")
_JOINER = "\u200d"


def mask_name(name: str) -> str:
    """The name with the first letter of each word left, or a whole compound surname.

    One lone character becomes `*`. Anything that is not a letter (digit, emoji) is hidden.
    """
    parts = _NAME_SEPARATORS.split(clean_text(name))
    words = [part for part in parts[::2] if part]
    return "".join(part if index % 2 else _mask_word(part, lone=len(words) == 1) for index, part in enumerate(parts))


def _mask_word(word: str, *, lone: bool) -> str:
    if not word:
        return ""
    clusters = _clusters(word)
    first = clusters[0]
    if len(clusters) == 1 or not first[0].isalpha():
        return "*" * min(max(len(clusters) - 1, 1), MAX_STAR_COUNT)
    shown = word[:2] if lone and len(clusters) > 2 and word[:2] in COMPOUND_SURNAMES else first
    hidden_count = len(clusters) - len(_clusters(shown))
    return shown + "*" * min(hidden_count, MAX_STAR_COUNT)


def _clusters(word: str) -> list[str]:
    """What a reader takes for one character: base letter with its marks, emoji with its joiners."""
    found: list[str] = []
    for character in word:
        joined = bool(found) and (
            unicodedata.category(character) in ("Mn", "Me", "Mc", "Sk")
            or character == _JOINER
            or found[-1].endswith(_JOINER)
        )
        if joined:
            found[-1] += character
        else:
            found.append(character)
    return found


#: What may stand in a phone number besides digits; anything else (a name!) becomes a star.
_PHONE_MARKS = frozenset("+-()/ ,;.#x转分机ext")
_COUNTRY_PREFIX = re.compile(r"^\s*[(]?(?:\+|00)86[)]?[\s-]*")


def mask_phone(phone: str) -> str:
    """The phone number with at least six digits as `*`; all of them if it has no more than six.

    The ends stay readable where there are digits to spare: `199******15`, `0755-******78`.
    Full-width figures come out as ASCII. A leading +86 or 0086 is no part of the count.
    """
    text = clean_text(unicodedata.normalize("NFKC", phone))
    prefix = match.group() if (match := _COUNTRY_PREFIX.match(text)) else ""
    body = text[len(prefix) :]
    places = [index for index, character in enumerate(body) if character.isdecimal()]
    spare = max(len(places) - HIDDEN_DIGIT_COUNT, 0)
    tail = min(2, spare)
    is_long_landline = body.lstrip("(").startswith("0") and len(places) >= 12
    head = min(4 if is_long_landline else 3, spare - tail)
    hidden = set(places[head : len(places) - tail])
    return prefix + "".join(
        character if character in _PHONE_MARKS or (character.isdecimal() and index not in hidden) else "*"
        for index, character in enumerate(body)
    )


_STARS = "***"
_FIGURES = r"[A-Za-zＡ-Ｚａ-ｚ]{0,2}[-－]?\d+(?:[-－—–]\d+)*[A-Za-zＡ-Ｚａ-ｚ]?"
#: Places begin with the large ones (万达广场, 千灯镇): a number such as 一千零一 or 一万二 does not.
_HAN_DIGITS = "〇○零一二三四五六七八九十百两兩廿卅"
_HAN_NUMERALS = f"{_HAN_DIGITS}千万萬"
_HAN_NUMBER = f"[{_HAN_DIGITS}][{_HAN_NUMERALS}]*"
_FORMAL_NUMERALS = "壹贰貳叁參肆伍陆陸柒捌玖拾佰仟"
_NUMBER = rf"(?:{_FIGURES}|{_HAN_NUMBER})"
_UNIT = rf"(?:{_NUMBER}|[A-Za-zＡ-Ｚａ-ｚ甲乙丙丁戊东西南北中左右])"

#: In this order: what to find, what to print instead.
_ADDRESS_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    # "#403" and "＃12": a unit whichever language the rest is in.
    (re.compile(r"([#＃])\s*[A-Za-z]?\d[\w-]*"), rf"\1{_STARS}"),
    # "Apt 1402", "Suite B-12", "Rm. 403", "Unit #7"
    (
        re.compile(
            r"\b(apartment|apt|suite|ste|unit|room|rm|flat|floor|fl|no\.?\s*room)(\.?\s*[#:]?\s*)"
            r"(?=[\w-]*\d|[A-Za-z]\b)[\w-]+",
            re.IGNORECASE,
        ),
        rf"\1\2{_STARS}",
    ),
    # "2单元", "东单元", "3门", "甲单元"
    (re.compile(rf"{_UNIT}\s?(单元|單元)"), rf"{_STARS}\1"),
    (re.compile(rf"{_FIGURES}(门)(?![牌口诊])"), rf"{_STARS}\1"),
    # "403室", "四零二室", "一千零一室", "贰零叁室": nothing but a room ends so, whatever the number begins with
    (re.compile(rf"(?:{_FIGURES}|[{_HAN_NUMERALS}{_FORMAL_NUMERALS}]+)\s?((?:号|號)?室)"), rf"{_STARS}\1"),
    # "403号房", "1203户", "403房间", "四零二房"; not with fewer numerals, because of places such as 三房巷 and 八户镇
    (
        re.compile(rf"(?:{_FIGURES}|[{_HAN_NUMERALS}]{{3,}})\s?((?:号|號)?(?:房间|房間|房|户|戶|铺|鋪|档))"),
        rf"{_STARS}\1",
    ),
    # "3层", "12楼" (a floor; "5号楼" is a building and stays)
    (re.compile(rf"{_NUMBER}\s?(层|層|楼|樓)"), rf"{_STARS}\1"),
    # A bare number behind a building: "5栋101", "3号楼1203号", "A座1201"
    (
        re.compile(rf"(栋|棟|幢|座|楼|樓|单元|單元|层|層|门)(\s*[-－—–]?\s*){_NUMBER}(?!\s*[栋棟幢座楼樓期])"),
        rf"\1\2{_STARS}",
    ),
    # Building-unit-room chains: "12-3-501"; "23-1号" is a house number and stays, and so does a
    # Japanese postal code such as ", 100-0005".
    (
        re.compile(
            r"(?<![\d-])(?!(?<=[,，\s〒])\d{3}-\d{4}(?!\d))(\d{1,4}[-－—–])\d+(?:[-－—–]\d+)*(?![\d号號栋棟幢座弄])"
        ),
        rf"\1{_STARS}",
    ),
    # A room at the very end behind a word: "样例大厦1203"; behind a road it is the house number.
    (
        re.compile(r"(?<=[\u3400-\u9fff])(?<![路街道巷弄里村组省市区县镇乡])[A-Za-z]?\d{2,5}\s*$"),
        _STARS,
    ),
    # The same in numerals: "样例大厦一二零三".
    (re.compile(rf"(?<![路街道巷弄里村组省市区县镇乡{_HAN_NUMERALS}])[{_HAN_NUMERALS}]{{2,}}\s*$"), _STARS),
)


def mask_address(address: str) -> str:
    """The address with unit, floor and room numbers as `***`; road, house and building stay."""
    text = clean_text(address)
    for pattern, replacement in _ADDRESS_RULES:
        text = pattern.sub(replacement, text)
    return text
