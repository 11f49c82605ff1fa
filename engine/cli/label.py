"""`crossdock label`: label files of booked orders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from engine.cli.common import FAILED, json_option, output, print_json, stop_with
from engine.cli.connect import server_option, tls_option, with_client

SUFFIXES = {"pdf": ".pdf", "png": ".png", "zpl": ".zpl"}
SIZES = {"100x150": "100X150", "100x180": "100X180", "76x130": "76X130", "4x6in": "4X6_INCH"}


@click.command()
@click.argument("keys", nargs=-1, required=True)
@click.option("--format", "file_format", type=click.Choice(sorted(SUFFIXES)), default="pdf", show_default=True)
@click.option("--size", type=click.Choice(sorted(SIZES)), default="100x150", show_default=True)
@click.option("--dpi", type=click.Choice(["203", "300"]), default="203", show_default=True)
@click.option("--piece", default=0, help="Only this parcel of the order, from 1.")
@click.option("--carrier-made", is_flag=True, help="The carrier's own label, where it makes one.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="File to write; default label.<format>.")
@server_option
@tls_option
@json_option
def label(
    keys: Sequence[str],
    file_format: str,
    size: str,
    dpi: str,
    piece: int,
    carrier_made: bool,
    out: Path | None,
    server: str,
    tls_ca: str | None,
    as_json: bool,
) -> None:
    """Write the labels of the orders KEYS (ids or references) to one file."""
    from crossdock.v1 import label_service_pb2 as pb

    spec = pb.LabelSpec(
        format=pb.LabelFormat.Value(f"LABEL_FORMAT_{file_format.upper()}"),
        size=pb.LabelSize.Value(f"LABEL_SIZE_{SIZES[size]}"),
        dpi=int(dpi),
        carrier_made=carrier_made,
    )
    path = out or Path(f"label{SUFFIXES[file_format]}")

    async def use(client: Any) -> tuple[int, list[Any]]:
        ids = [await _order_id(client, key) for key in keys]
        if len(ids) == 1:
            answer = await client.get_label(ids[0], spec, piece_number=piece)
            path.write_bytes(answer.content)
            return len(answer.waybill_numbers), []
        merged = client.merge_labels(ids, spec)
        with path.open("wb") as file:
            async for chunk in merged.chunks:
                file.write(chunk)
        return merged.label_count, list(merged.skipped)

    count, skipped = with_client(server, tls_ca, use)
    if as_json:
        print_json({"file": str(path), "labels": count, "skipped": [s.order_id for s in skipped]})
    else:
        output.print(f"{count} labels in {path}")
    if skipped:
        stop_with([f"{s.order_id}: {s.message}; {s.remedy}" for s in skipped], FAILED)


async def _order_id(client: Any, key: str) -> str:
    if len(key) == 36 and key.count("-") == 4:
        return key
    found: str = (await client.get_order(reference=key)).order_id
    return found
