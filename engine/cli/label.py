"""`crossdock label`: label files of booked orders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from engine.cli.common import BAD_USAGE, FAILED, json_option, output, print_json, stop_with
from engine.cli.connect import Where, find_order, where_options, with_client

if TYPE_CHECKING:
    from crossdock import Client
    from crossdock.v1.label_service_pb2 import LabelSpec

SUFFIXES = {"pdf": ".pdf", "png": ".png", "zpl": ".zpl"}
SIZES = {"100x150": "100X150", "100x180": "100X180", "76x130": "76X130", "4x6in": "4X6_INCH"}


@click.command()
@click.argument("keys", nargs=-1, required=True)
@click.option("--format", "file_format", type=click.Choice(sorted(SUFFIXES)), default="pdf", show_default=True)
@click.option("--size", type=click.Choice(sorted(SIZES)), default="100x150", show_default=True)
@click.option("--dpi", type=click.Choice(["203", "300"]), default="203", show_default=True)
@click.option("--piece", type=click.IntRange(min=0), default=0, help="Only this parcel of the order, from 1.")
@click.option("--carrier-made", is_flag=True, help="The carrier's own label, where it makes one.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="File to write; default label.<format>.")
@where_options
@json_option
def label(
    keys: Sequence[str],
    file_format: str,
    size: str,
    dpi: str,
    piece: int,
    carrier_made: bool,
    out: Path | None,
    where: Where,
    as_json: bool,
) -> None:
    """Write the labels of the orders KEYS (ids or references) to one file.

    Orders without a label are named and left out; the exit code is 1 then. A file is only replaced by a whole one.
    """
    from crossdock.v1 import label_service_pb2 as pb

    if len(keys) > 1 and piece:
        raise click.UsageError("--piece names a parcel of one order; give one KEY, or leave --piece out")
    if len(keys) > 1 and file_format == "png":
        raise click.UsageError("a PNG holds one label; give one KEY, or use --format pdf or zpl")
    spec = pb.LabelSpec(
        format=pb.LabelFormat.Value(f"LABEL_FORMAT_{file_format.upper()}"),
        size=pb.LabelSize.Value(f"LABEL_SIZE_{SIZES[size]}"),
        dpi=int(dpi),
        carrier_made=carrier_made,
    )
    path = out or Path(f"label{SUFFIXES[file_format]}")
    try:
        count, skipped = with_client(where, lambda client: _write(client, keys, spec, piece, path))
    except OSError as error:
        stop_with([f"--out {path}: {error.strerror}; name a file in a folder that can be written"], BAD_USAGE)
    if as_json:
        print_json({"file": str(path) if count else "", "labels": count, "skipped": list(skipped)})
    elif count:
        output.print(f"{count} label{'' if count == 1 else 's'} in {path}", soft_wrap=True, markup=False)
    if skipped:
        stop_with([f"{key}: {why}" for key, why in skipped.items()], FAILED)


async def _write(
    client: Client, keys: Sequence[str], spec: LabelSpec, piece: int, path: Path
) -> tuple[int, dict[str, str]]:
    """Write the file; how many labels it holds, and why a key has none there."""
    from crossdock import NotFound

    if len(keys) == 1:
        answer = await client.get_label((await find_order(client, keys[0])).order_id, spec, piece_number=piece)
        with _replacing(path) as file:
            file.write(answer.content)
        return len(answer.waybill_numbers), {}
    ids: list[str] = []
    key_of: dict[str, str] = {}
    skipped: dict[str, str] = {}
    for key in keys:
        try:
            ids.append((await find_order(client, key)).order_id)
            key_of[ids[-1]] = key
        except NotFound as error:
            skipped[key] = error.message
    if not ids:
        return 0, skipped
    merged = client.merge_labels(ids, spec)
    with _replacing(path) as file:
        async for chunk in merged.chunks:
            file.write(chunk)
    skipped |= {key_of[s.order_id]: "; ".join(filter(None, (s.message, s.remedy))) for s in merged.skipped}
    return merged.label_count, skipped


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of `path` when it is whole; empty, it leaves what is there. Raises OSError."""
    if path.exists() and not path.is_file():  # a pipe or a device
        with path.open("wb") as device:
            yield device
        return
    path = path.resolve()
    partial = path.with_name(f"{path.name}.part")
    try:
        with partial.open("wb") as file:
            yield file
            size = file.tell()
        if size:
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
