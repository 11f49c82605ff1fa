"""Measures labels: one label per format, and 10,000 labels merged into one PDF.

    python benchmarks/labels.py [--merge-count 10000]

Prints a table and, as the last line, the same as JSON. One core, one process; texts differ from
label to label as orders do, so that caches help no more than they would in a warehouse.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import anyio

from engine.core.merging import MERGE_AT_ONCE, merge
from engine.core.printing import LabelSpec
from engine.labels import (
    FontSet,
    LabelContent,
    LabelFormat,
    LabelParty,
    LabelSize,
    MergeItem,
    render,
)

WARM_UP = 2 * MERGE_AT_ONCE
_SIZE = LabelSize.MM_100X150
_GIVEN = "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英"
_SURNAMES = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林罗高梁郑谢宋唐许韩冯邓曹"
_CITIES = (
    "浙江省杭州市西湖区",
    "四川省成都市武侯区",
    "广东省深圳市南山区",
    "新疆维吾尔自治区阿克陶县",
)
_STREETS = ("文三路", "天府大道", "科技园路", "建设街", "滨江大道", "中山北路", "黄河路")
_ESTATES = ("绿地中心", "阳光花园", "万科城", "桂语江南", "翡翠华庭", "")
_GOODS = (
    "连衣裙 M码",
    "男士运动鞋 42",
    "保温杯 500ml",
    "有机大米 5kg",
    "蓝牙耳机",
    "冷冻牛排 10片",
)
_PRINTED_AT = datetime(2026, 3, 2, 14, 5, tzinfo=timezone(timedelta(hours=8)))


def contents(count: int) -> Iterator[LabelContent]:
    """Made-up labels, the same ones in each run."""
    rng = random.Random(20260302)
    shipper = LabelParty(name="样例仓库", phone="0571-88880000", address_line="浙江省杭州市余杭区仓前街道1号")
    for index in range(count):
        street = f"{rng.choice(_STREETS)}{rng.randint(1, 999)}号{rng.choice(_ESTATES)}"
        room = f"{rng.randint(1, 30)}栋{rng.randint(101, 3200)}室"
        yield LabelContent(
            carrier_code="sf",
            carrier_name_zh="顺丰速运",
            carrier_name_en="SF Express",
            service_name="顺丰标快",
            waybill_number=f"SF{1990000000000 + index}",
            sort_code=f"{rng.randint(10, 999):03d}W-AB-{rng.randint(1, 99):03d}",
            bag_address="成都双流集散中心",
            shipper=shipper,
            recipient=LabelParty(
                name=rng.choice(_SURNAMES) + rng.choice(_GIVEN) + rng.choice(_GIVEN),
                phone=f"199{index:08d}",
                address_line=rng.choice(_CITIES) + street + room,
            ),
            goods=rng.choice(_GOODS),
            weight_g=rng.randint(50, 20000),
            reference=f"SO2026{index:07d}",
            temperature=rng.choice(("AMBIENT", "AMBIENT", "CHILLED", "FROZEN")),
            cod_minor_units=rng.choice((None, None, 19900)),
            printed_at=_PRINTED_AT,
        )


def main() -> None:
    """Runs all measurements and prints them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--merge-count", type=int, default=10_000, help="labels in the merged PDF")
    merge_count: int = parser.parse_args().merge_count
    start = time.perf_counter()
    fonts = FontSet.load()
    figures: dict[str, float] = {"font_load_ms": (time.perf_counter() - start) * 1000}
    for format in LabelFormat:
        figures |= _one_by_one(format, fonts, 100 if format is LabelFormat.PNG else 400)
    figures |= anyio.run(_merged, merge_count, fonts)
    for name, value in figures.items():
        print(f"{name:28} {value:12,.2f}")
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


def _one_by_one(format: LabelFormat, fonts: FontSet, count: int) -> dict[str, float]:
    times_ms: list[float] = []
    sizes: list[int] = []
    for index, content in enumerate(contents(count + 10)):
        start = time.perf_counter()
        data = render(content, format=format, size=_SIZE, dpi=203, fonts=fonts)
        if index >= 10:
            times_ms.append((time.perf_counter() - start) * 1000)
            sizes.append(len(data))
    times_ms.sort()
    name = format.value.lower()
    return {
        f"{name}_p50_ms": times_ms[len(times_ms) // 2],
        f"{name}_p99_ms": times_ms[len(times_ms) * 99 // 100],
        f"{name}_mean_bytes": sum(sizes) / len(sizes),
    }


async def _merged(count: int, fonts: FontSet) -> dict[str, float]:
    # Event loop, thread and the first batch's buffers are there however few labels are merged.
    await _merged_bytes(WARM_UP, fonts)
    before_kib = _peak_kib()
    start = time.perf_counter()
    byte_count = await _merged_bytes(count, fonts)
    elapsed_s = time.perf_counter() - start
    return {
        "merge_labels": count,
        "merge_s": elapsed_s,
        "merge_labels_per_s": count / elapsed_s,
        "merge_mib": byte_count / 2**20,
        "merge_peak_growth_mib": (_peak_kib() - before_kib) / 1024,
        "process_peak_mib": _peak_kib() / 1024,
    }


async def _merged_bytes(count: int, fonts: FontSet) -> int:
    """Merge as the engine does; labels are made up one by one, so that they take no memory of their own."""
    made_up = contents(count)

    async def prepare(_order_id: str) -> list[MergeItem]:
        return [next(made_up)]

    async def load_fonts() -> FontSet:
        return fonts

    spec, threads = LabelSpec(LabelFormat.PDF, _SIZE), anyio.CapacityLimiter(1)
    parts = merge([""] * count, spec, prepare=prepare, load_fonts=load_fonts, threads=threads)
    return sum([len(part) async for part in parts if isinstance(part, bytes)])


def _peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
