"""The simulator's map and tariff: area codes, routing texts, prices, days. Made up but believable.

Area codes of the table are the telephone codes without the leading zero where they have four
digits; any other city gets a code derived from its name. Nothing here is SF's price list.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from hashlib import md5

AREA_CODES: dict[str, str] = {
    "北京": "010", "上海": "021", "天津": "022", "重庆": "023", "广州": "020", "深圳": "755",
    "东莞": "769", "佛山": "757", "珠海": "756", "杭州": "571", "宁波": "574", "温州": "577",
    "金华": "579", "嘉兴": "573", "南京": "025", "苏州": "512", "无锡": "510", "常州": "519",
    "成都": "028", "武汉": "027", "西安": "029", "沈阳": "024", "大连": "411", "长春": "431",
    "哈尔滨": "451", "石家庄": "311", "太原": "351", "济南": "531", "青岛": "532", "郑州": "371",
    "合肥": "551", "福州": "591", "厦门": "592", "泉州": "595", "南昌": "791", "长沙": "731",
    "南宁": "771", "海口": "898", "贵阳": "851", "昆明": "871", "兰州": "931", "西宁": "971",
    "银川": "951", "呼和浩特": "471", "乌鲁木齐": "991", "拉萨": "891",
}  # fmt: skip
"""City without 市 -> area code."""

REGIONS: dict[str, str] = {
    "北京": "华北", "天津": "华北", "河北": "华北", "山西": "华北", "内蒙古": "华北",
    "辽宁": "东北", "吉林": "东北", "黑龙江": "东北",
    "上海": "华东", "江苏": "华东", "浙江": "华东", "安徽": "华东", "福建": "华东",
    "江西": "华东", "山东": "华东",
    "河南": "华中", "湖北": "华中", "湖南": "华中",
    "广东": "华南", "广西": "华南", "海南": "华南",
    "重庆": "西南", "四川": "西南", "贵州": "西南", "云南": "西南", "西藏": "偏远",
    "陕西": "西北", "甘肃": "西北", "青海": "西北", "宁夏": "西北", "新疆": "偏远",
}  # fmt: skip
"""Province without its suffix -> region; a province that is not here is not served."""

# Distance class -> (first kg, each further kg, days), yuan.
TARIFF: dict[str, tuple[int, int, int]] = {
    "province": (12, 2, 1),
    "region": (14, 5, 1),
    "country": (18, 10, 2),
    "remote": (24, 18, 4),
}

# Product -> (percentage of the base price, days saved).
PRODUCT_TERMS: dict[str, tuple[int, int]] = {
    "2": (100, 0),
    "1": (130, 1),
    "154": (80, -1),
    "155": (65, -2),
    "201": (160, 0),
}

LIMIT_TYPES: dict[str, str] = {"1": "T4", "2": "T6"}
"""Product -> limitTypeCode; the others' codes are not in the sheet."""


def known_province(name: str) -> str:
    """The table's name of a province, "" when it is not served."""
    return next((province for province in REGIONS if name.startswith(province)), "")


def area_code(province: str, city: str) -> str:
    """The area code of a city: from the table, else three digits derived from the names."""
    for name in (city, province):
        for known, code in AREA_CODES.items():
            if name.startswith(known):
                return code
    return f"{300 + _number(province, city) % 600}"


def route_label(code: str, district: str, address: str) -> str:
    """The big routing text, such as 028W-AB-012."""
    number = _number(district, address)
    letters = "ABCDEFGHJKLMNPQRSTUVW"
    first, second, third = (letters[(number >> shift) % len(letters)] for shift in (0, 8, 16))
    return f"{code}{first}-{second}{third}-{number % 200:03d}"


def distance_class(origin: str, destination: str) -> str:
    """Key of TARIFF for two provinces."""
    a, b = known_province(origin), known_province(destination)
    if a == b:
        return "province"
    if "偏远" in (REGIONS[a], REGIONS[b]):
        return "remote"
    return "region" if REGIONS[a] == REGIONS[b] else "country"


def price_fen(product: str, distance: str, weight_g: int) -> int:
    """Freight in fen; further kilograms count by halves, begun ones in full."""
    first, further, _ = TARIFF[distance]
    halves = max(0, -(-(weight_g - 1000) // 500))
    share, _ = PRODUCT_TERMS[product]
    return (first * 100 + further * 50 * halves) * share // 100


def arrival(product: str, distance: str, shipped: datetime) -> datetime:
    """Noon of the promised day, never the day of shipping."""
    day = shipped + timedelta(days=_days(product, distance))
    return day.replace(hour=12, minute=0, second=0, microsecond=0)


def transit_days(product: str, origin: str, destination: str) -> int:
    """Days from collection to delivery between two provinces."""
    return _days(product, distance_class(origin, destination))


def _days(product: str, distance: str) -> int:
    return max(1, TARIFF[distance][2] - PRODUCT_TERMS[product][1])


def _number(*texts: str) -> int:
    return int.from_bytes(md5("/".join(texts).encode(), usedforsecurity=False).digest()[:4], "big")
