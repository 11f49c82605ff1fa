"""The simulator's geography: routing texts, stopped destinations and a tariff. All values are made
up.

The same question always gets the same answer, also after a restart.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from zlib import crc32

import msgspec

MARKS = {
    "北京市": ("100", "北京"),
    "天津市": ("220", "天津"),
    "上海市": ("300", "上海"),
    "重庆市": ("400", "重庆"),
    "成都市": ("510", "成都"),
    "广州市": ("600", "广州"),
    "深圳市": ("610", "深圳"),
    "杭州市": ("310", "杭州"),
    "南京市": ("320", "南京"),
    "武汉市": ("700", "武汉"),
    "西安市": ("900", "西安"),
    "郑州市": ("810", "郑州"),
}
"""City -> first group of the routing text, bag address. Other cities are derived from their names.
"""

REMOTE = frozenset({"西藏自治区", "新疆维吾尔自治区", "青海省", "内蒙古自治区"})

# Distance -> (first kilogram, each further kilogram begun) in fen, hours in transit.
TARIFF = {
    "near": (800, 200, 24),
    "far": (1200, 600, 48),
    "remote": (2000, 1500, 96),
}


def mark(city: str, district: str) -> dict[str, str]:
    """mark and bagAddr of a destination."""
    prefix, bag = MARKS.get(city) or (
        f"{crc32(str(city).encode()) % 900 + 100}",
        str(city).removesuffix("市"),
    )
    zone = crc32(str(district).encode())
    return {"mark": f"{prefix}- {'ABCD'[zone % 4]}{zone % 97:02d} {zone % 89:02d}", "bagAddr": bag}


def area(city: str, embargo: Collection[str]) -> dict[str, str | None]:
    """forbidType B04 is "open"; any other means stopped."""
    if city in embargo:
        return {"forbidType": "B01", "forbidReason": "目的地停发"}
    return {"forbidType": "B04", "forbidReason": None}


def prescription(body: dict[str, Any]) -> dict[str, object]:
    """Price in yuan and hours, as JSON numbers."""
    origin, target = body["sender"]["province"], body["addresser"]["province"]
    zone = "near" if origin == target else "remote" if {origin, target} & REMOTE else "far"
    first_fen, next_fen, hours = TARIFF[zone]
    kilograms = max(1, -(-round(float(body["weight"]) * 100) // 100))
    fen = first_fen + (kilograms - 1) * next_fen
    return {"price": msgspec.Raw(f"{fen // 100}.{fen % 100:02d}".encode()), "hour": hours}
