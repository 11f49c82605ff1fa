"""How one label is printed as it was asked for, and how a label that cannot be printed is refused."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from engine.core.errors import LabelUnavailable
from engine.labels import (
    Dpi,
    FontSet,
    LabelContent,
    LabelError,
    LabelFormat,
    LabelSize,
    MergedPdf,
    UnprintableCharacter,
    convert_carrier_pdf,
    render,
)

MEDIA_TYPES = {
    LabelFormat.PDF: "application/pdf",
    LabelFormat.PNG: "image/png",
    LabelFormat.ZPL: "application/zpl",
}


class LabelSpec(msgspec.Struct, frozen=True):
    """How a label shall look."""

    format: LabelFormat = LabelFormat.PDF
    size: LabelSize = LabelSize.MM_100X150
    dpi: Dpi = 203
    carrier_made: bool = False


def convert(content: bytes, spec: LabelSpec) -> bytes:
    """A carrier's label. Raises LabelError."""
    return convert_carrier_pdf(content, format=spec.format, size=spec.size, dpi=spec.dpi)


def print_pieces(contents: Sequence[LabelContent], spec: LabelSpec, fonts: FontSet) -> bytes:
    """Our own labels of the pieces of one order, in one file. Raises LabelError."""
    if spec.format is LabelFormat.PDF:
        merged = MergedPdf(spec.size, spec.dpi, fonts)
        for content in contents:
            merged.add(content)
        return merged.take() + b"".join(merged.finish())
    if spec.format is LabelFormat.PNG and len(contents) > 1:
        raise LabelError("piece_number", f"{len(contents)} labels do not go into one PNG", "Name one piece")
    return b"".join(
        render(content, format=spec.format, size=spec.size, dpi=spec.dpi, fonts=fonts) for content in contents
    )


def unavailable(error: LabelError) -> LabelUnavailable:
    """The refusal that a caller gets."""
    character = error.code_point if isinstance(error, UnprintableCharacter) else ""
    return LabelUnavailable(error.problem, error.remedy, field=error.field, character=character)
