"""What the demo may claim only after looking: each check returns what is wrong, nothing when all is well."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import pypdfium2  # type: ignore[import-untyped]  # ships no types
import zxingcpp

from engine.cli.sandbox import SimulatorProcess
from engine.core.policy.references import order_id_of

RENDER_SCALE = 203 / 72  # the print head's dots per PDF point


def read_results(path: Path) -> list[dict[str, str]]:
    """results.csv as rows."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def booked_rows(rows: Iterable[Mapping[str, str]]) -> dict[str, Mapping[str, str]]:
    """Booked rows by order id; a repeated line is the same order."""
    return {row["order_id"]: row for row in rows if row["state"] == "BOOKED"}


def against_ledgers(booked: Mapping[str, tuple[str, str]], simulators: Mapping[str, SimulatorProcess]) -> list[str]:
    """Compare waybills the engine reports with what the carriers believe. `booked`: order id -> (carrier, waybill)."""
    problems = []
    live = {code: simulator.live_waybills() for code, simulator in simulators.items()}
    for order_id, (carrier, waybill) in booked.items():
        if waybill not in live[carrier]:
            problems.append(f"order {order_id}: {carrier} knows no live waybill {waybill}")
    per_order = Counter(order_id_of(reference) for waybills in live.values() for reference in waybills.values())
    problems += [f"order {order}: {count} live waybills" for order, count in per_order.items() if count > 1]
    problems += [
        f"order {order}: a carrier's waybill the engine does not know" for order in per_order.keys() - booked.keys()
    ]
    return problems


def barcodes(pdf: Path, expected: Iterable[str], *, most: int) -> tuple[int, list[str]]:
    """Read the barcodes of up to `most` pages spread over the file; returns pages read and what is wrong."""
    wanted, problems = set(expected), []
    document = pypdfium2.PdfDocument(pdf)
    try:
        step = max(1, len(document) // most)
        pages = range(0, len(document), step)
        for index in pages:
            image = document[index].render(scale=RENDER_SCALE, grayscale=True).to_pil()
            texts = {code.text for code in zxingcpp.read_barcodes(image)}
            if not texts & wanted:
                problems.append(f"page {index + 1} of {pdf.name}: no barcode of a booked waybill, read {sorted(texts)}")
        return len(pages), problems
    finally:
        document.close()
