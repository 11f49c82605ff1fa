"""How a command decides between TLS and plaintext."""

from __future__ import annotations

import pytest

from engine.cli.connect import Where


@pytest.mark.parametrize(
    ("where", "tls"),
    [
        (Where("127.0.0.1:50051"), False),
        (Where("[::1]:50051"), False),
        (Where("localhost:50051"), False),
        (Where("dns:///localhost:50051"), False),
        (Where("unix:/run/crossdock.sock"), False),
        (Where("engine.example:443"), True),
        (Where("10.0.0.7:50051"), True),
        (Where("10.0.0.7:50051", insecure=True), False),
        (Where("10.0.0.7:50051", "ca.pem"), "ca.pem"),
        (Where("127.0.0.1:50051", "ca.pem"), "ca.pem"),
    ],
)
def test_plaintext_leaves_the_machine_only_when_asked(where: Where, tls: str | bool) -> None:
    """Another machine means TLS: with the named authority, else with those the system knows."""
    chosen = where.tls

    assert chosen == tls
