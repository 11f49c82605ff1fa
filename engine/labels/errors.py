"""What can go wrong with a label. One tree, so that a caller can catch `LabelError` and be done.

Every error carries `field` (the path of the input that is at fault) and `remedy` (what to do
about it); no message holds a name, a phone number or an address.
"""

from __future__ import annotations

import unicodedata


class LabelError(ValueError):
    """A label cannot be made from this input.

    `field` is a path such as `recipient.contact.name`; `problem` says what is wrong with it and
    `remedy` how to mend it.
    """

    def __init__(self, field: str, problem: str, remedy: str) -> None:
        super().__init__(field, problem, remedy)
        self.field = field
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.field}: {self.problem}. {self.remedy}."


class UnprintableCharacter(LabelError):
    """No font at hand can print this character as it must look."""

    def __init__(self, field: str, character: str, *, needs_shaping: bool = False) -> None:
        self.character = character
        self.code_point = f"U+{ord(character):04X}"
        name = unicodedata.name(character, "no name")
        shown = f"{character} " if character.isprintable() else ""
        if needs_shaping:
            problem = f"character {shown}({self.code_point}, {name}) needs joined or reordered"
            problem += " letters, which labels do not do"
            remedy = "Send this field in Latin letters"
        else:
            problem = f"no label font has the character {shown}({self.code_point}, {name})"
            remedy = "Name a TrueType font that has it in labels.extra_fonts"
        super().__init__(field, problem, remedy)


class TextDoesNotFit(LabelError):
    """A text that must not be cut is too long for its place even at the smallest size."""

    def __init__(self, field: str, length: int, min_pt: float) -> None:
        super().__init__(
            field,
            f"{length} characters do not fit in their place at {min_pt:g} pt",
            "Shorten the text or choose a larger label",
        )


class UnusableSymbol(LabelError):
    """A text cannot be written as the barcode or QR code the label needs."""


class BadContent(LabelError):
    """A value is outside what a label can show (a piece 3 of 2, a naive time)."""


class BadFont(LabelError):
    """A file in `labels.extra_fonts` is missing or no TrueType font."""


class BadCarrierPdf(LabelError):
    """What a carrier sent as its label is no PDF that can be passed on."""


class UnsupportedOutput(LabelError):
    """This combination of format, size, resolution and operation does not exist."""
