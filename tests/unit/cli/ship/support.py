"""A merchant's file, its results, and a clock whose pauses cost nothing."""

from __future__ import annotations

import asyncio
import csv
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from engine.cli.ship.columns import DEFAULT_COLUMNS
from engine.clock import Timer

HEADER = tuple(DEFAULT_COLUMNS)
CLEAN = {
    "订单号": "SO1",
    "收件人": "陈娜",
    "电话": "19900000001",
    "国家": "CN",
    "省": "福建省",
    "市": "漳州市",
    "区县": "漳浦县",
    "详细地址": "黄河路923号",
    "商品": "保温杯",
    "数量": "1",
    "重量(kg)": "1.10",
    "订单金额(元)": "399.00",
    "保价(元)": "",
    "代收货款(元)": "",
    "时效": "标准",
    "温层": "常温",
    "HS编码": "",
    "备注": "",
}
START = datetime(2026, 11, 21, tzinfo=UTC)
LONG_PAUSE_S = 100.0


class HurryingClock:
    """Short pauses pass at once and move the time; long ones (watchdogs) never end."""

    def __init__(self) -> None:
        self._passed_s = 1000.0

    def now(self) -> datetime:
        """Wall time that keeps step."""
        return START + timedelta(seconds=self._passed_s)

    def stepped_s(self, since: datetime) -> float:
        """Nobody sets it."""
        return 0.0

    def monotonic(self) -> float:
        """The pauses so far."""
        return self._passed_s

    async def sleep(self, seconds: float) -> None:
        """Move the time on."""
        if seconds >= LONG_PAUSE_S:
            await asyncio.Event().wait()
        self._passed_s += seconds
        await asyncio.sleep(0)

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """Move the time on and call at the next turn."""
        self._passed_s += delay_s
        return asyncio.get_running_loop().call_soon(callback)


def order_row(reference: str, **cells: str) -> list[str]:
    """A clean row with some cells changed."""
    return list({**CLEAN, "订单号": reference, **cells}.values())


def write_orders(path: Path, rows: Sequence[Sequence[str]]) -> Path:
    """A file as the usual export writes it."""
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        writer.writerows(rows)
    return path


def read_results(folder: Path) -> list[dict[str, str]]:
    """results.csv, row by row."""
    with (folder / "results.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))
