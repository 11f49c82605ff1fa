"""The engine's /metrics page, read beside a load.

Read by hand, since `prometheus_client.parser` takes 5 ms for its 200 series where this takes 0.2: four times a second,
on the loop that sends orders at their times, its pauses would show in what is measured.
"""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from engine.cli.sandbox import Sandbox

Metrics = Mapping[str, float]
"""Every series, its labels behind its name as they stand on the page -> value."""


async def scrape(http: httpx.AsyncClient, sandbox: Sandbox) -> Metrics:
    """What the engine counts now."""
    page = (await http.get(f"{sandbox.http}/metrics")).text
    rows = (line.rpartition(" ") for line in page.splitlines() if not line.startswith("#"))
    return {series: float(value) for series, _, value in rows}


def values(metrics: Metrics, name: str, **labels: str) -> list[float]:
    """Of all series of that name with these labels, whatever others they have."""
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    return [
        value
        for series, value in metrics.items()
        if series.partition("{")[0] == name and all(label in series for label in wanted)
    ]
