"""Waybill labels (面单): laid out once, delivered as PDF, PNG or ZPL, singly or merged.

Pure functions of their input: no clock, no network, no order model. Names, phones and addresses
are masked on every label (GB/T 41833-2022). See README.md of this folder for the map and the
limits.
"""

from __future__ import annotations

from engine.labels.errors import (
    BadCarrierPdf,
    BadContent,
    BadFont,
    LabelError,
    TextDoesNotFit,
    UnprintableCharacter,
    UnsupportedOutput,
    UnusableSymbol,
)
from engine.labels.fontset import FontSet
from engine.labels.masking import mask_address, mask_name, mask_phone
from engine.labels.merge import MergedPdf, MergeItem
from engine.labels.model import Dpi, LabelContent, LabelFormat, LabelParty, LabelSize, Temperature
from engine.labels.render import convert_carrier_pdf, fit_carrier_pdf, render

__all__ = [
    "BadCarrierPdf",
    "BadContent",
    "BadFont",
    "Dpi",
    "FontSet",
    "LabelContent",
    "LabelError",
    "LabelFormat",
    "LabelParty",
    "LabelSize",
    "MergeItem",
    "MergedPdf",
    "Temperature",
    "TextDoesNotFit",
    "UnprintableCharacter",
    "UnsupportedOutput",
    "UnusableSymbol",
    "convert_carrier_pdf",
    "fit_carrier_pdf",
    "mask_address",
    "mask_name",
    "mask_phone",
    "render",
]
