"""Asks a Prometheus over its HTTP API, for what has no Grafana: the plot of the dashboard, and its tests."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import httpx
import msgspec

TIMEOUT_S = 10.0


class PrometheusError(Exception):
    """Prometheus cannot be asked, or does not understand the query; the text says which and what to do."""


class Series(msgspec.Struct, frozen=True):
    """One line: its labels, and (Unix seconds, value) in order of time. Values that are no number are left out."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]


class Prometheus:
    """A client of one server, for a `with` block. url: as `http://127.0.0.1:9090`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._http = httpx.Client(base_url=url, timeout=TIMEOUT_S, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def over(self, expr: str, start_s: float, end_s: float, step_s: float) -> list[Series]:
        """The query from start to end (Unix seconds), every `step_s`. Raises PrometheusError."""
        asked = {"query": expr, "start": f"{start_s}", "end": f"{end_s}", "step": f"{step_s}"}
        series = [Series(one["metric"], _numbers(one["values"])) for one in self._ask("query_range", asked)["result"]]
        return [one for one in series if one.points]

    def rules(self) -> list[dict[str, Any]]:
        """Every rule that is loaded, as Prometheus shows it. Raises PrometheusError."""
        return [rule for group in self._ask("rules", {})["groups"] for rule in group["rules"]]

    def targets(self) -> list[dict[str, Any]]:
        """Every target that is scraped, with its health and last error. Raises PrometheusError."""
        found: list[dict[str, Any]] = self._ask("targets", {"state": "active"})["activeTargets"]
        return found

    def _ask(self, what: str, parameters: Mapping[str, str]) -> Any:
        try:
            answer = self._http.get(f"/api/v1/{what}", params=parameters)
            content = msgspec.json.decode(answer.content)
        except (httpx.HTTPError, msgspec.DecodeError) as error:
            raise PrometheusError(f"{self._url} does not answer as a Prometheus: {error}; check the address") from error
        if not isinstance(content, dict) or content.get("status") != "success":
            told = content.get("error") if isinstance(content, dict) else content
            raise PrometheusError(f"{what} {dict(parameters)}: {told}; correct the query")
        return content["data"]


def _numbers(values: list[tuple[float, str]]) -> tuple[tuple[float, float], ...]:
    points = ((float(at_s), float(text)) for at_s, text in values)
    return tuple((at_s, value) for at_s, value in points if math.isfinite(value))
