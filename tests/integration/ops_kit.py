"""A real Prometheus on loopback for tests of engine/ops, and targets for it.

    async with running_prometheus(folder, {"crossdock": "127.0.0.1:8080"}) as url:
        ...

Scrapes and evaluates every second. The alerts are those of rules/alerts.yml without their `for`, so that a test needs
no minutes; how long each waits is the business of the rule tests. The process ends with the block.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.ops.prometheus import Prometheus, PrometheusError
from tests.meta.tree import ROOT

RULES = ROOT / "engine/ops/rules"
START_S = 15.0
PAUSE_S = 0.1
needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None or shutil.which("promtool") is None,
    reason="prometheus and promtool are not on the PATH; Debian has both: apt-get install prometheus",
)


def alert_rules() -> list[dict[str, Any]]:
    """Every alert as it stands in rules/alerts.yml."""
    return [rule for group in _alert_groups() for rule in group["rules"]]


def _alert_groups() -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = yaml.safe_load((RULES / "alerts.yml").read_text("utf-8"))["groups"]
    return groups


@asynccontextmanager
async def running_prometheus(
    folder: Path, jobs: Mapping[str, str], *, only: Mapping[str, str] | None = None
) -> AsyncIterator[str]:
    """Its URL. jobs: name -> HOST:PORT. only: job -> pattern of `name;code`, what else it exposes is dropped.

    Raises RuntimeError with the end of its log when it does not start.
    """
    port, settings = _free_port(), _settings(folder, jobs, only or {})
    log = folder / "prometheus.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            "prometheus",
            f"--config.file={settings}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=warn",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        if not await told(url, lambda asked: len(asked.targets()) == len(jobs), START_S):
            raise RuntimeError(f"prometheus did not start; its log ends with:\n{log.read_text('utf-8')[-2000:]}")
        yield url
    finally:
        process.terminate()
        try:
            async with asyncio.timeout(5.0):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def told(url: str, ask: Callable[[Prometheus], bool], within_s: float) -> bool:
    """Ask until the answer is true or time is up; the last answer. No answer counts as false."""

    def once() -> bool:
        try:
            with Prometheus(url) as prometheus:
                return ask(prometheus)
        except PrometheusError:
            return False

    ends_s = time.monotonic() + within_s
    while True:
        answer = await asyncio.to_thread(once)
        if answer or time.monotonic() >= ends_s:
            return answer
        await asyncio.sleep(PAUSE_S)


@contextmanager
def exposing(expose: Callable[[], bytes]) -> Iterator[str]:
    """HOST:PORT of a target that answers every GET with what `expose` says."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = expose()
            self.send_response(200)
            self.send_header("content-type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: a scrape a second is no news."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def _settings(folder: Path, jobs: Mapping[str, str], only: Mapping[str, str]) -> Path:
    """Prometheus's settings and the alerts without waiting. JSON, which is YAML as well."""
    folder.mkdir(parents=True, exist_ok=True)
    alerts = folder / "alerts.json"
    groups = [{**g, "rules": [{k: v for k, v in r.items() if k != "for"} for r in g["rules"]]} for g in _alert_groups()]
    alerts.write_text(json.dumps({"groups": groups}), "utf-8")
    scraped = [_job(name, address, only.get(name)) for name, address in jobs.items()]
    settings = folder / "prometheus.json"
    whole = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(RULES / "recording.yml"), str(alerts)],
        "scrape_configs": scraped,
    }
    settings.write_text(json.dumps(whole), "utf-8")
    return settings


def _job(name: str, address: str, only: str | None) -> dict[str, Any]:
    job: dict[str, Any] = {"job_name": name, "static_configs": [{"targets": [address]}]}
    if only is not None:
        kept = {"source_labels": ["__name__", "code"], "regex": only, "action": "keep"}
        job["metric_relabel_configs"] = [kept]
    return job


def _free_port() -> int:
    """Prometheus cannot be asked which port it took, so it is told one that was free just now."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
        return port
