"""The fonts of a label: which face has which character, how wide it is, and subsets to embed.

Font files are read and parsed once per process and shared by every label. The bundled Noto Sans
SC comes first, then the operator's `labels.extra_fonts` in their order, character by character.
A character that no face has is an error here, never a box on the paper. reportlab parses the
files and cuts the subsets.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from engine.labels.errors import BadFont, UnprintableCharacter

_FOLDER = Path(__file__).parent / "fonts"
REGULAR_PATH = _FOLDER / "NotoSansSC-Regular.ttf"
BOLD_PATH = _FOLDER / "NotoSansSC-Bold.ttf"

#: Scripts whose letters join, stack or run from right to left: (first, last), both included.
_SHAPED_SCRIPTS = (
    (0x0590, 0x0DFF),  # Hebrew, Arabic, Syriac, the scripts of India
    (0x0F00, 0x0FFF),  # Tibetan
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x18AF),  # Khmer, Mongolian
    (0xFB1D, 0xFDFF),  # presentation forms
    (0xFE70, 0xFEFC),
)


class Glyph(NamedTuple):
    """One character as some face of the set draws it. `advance` is in thousandths of an em."""

    face_index: int
    glyph_id: int
    advance: int


class Face:
    """One parsed TrueType file. Safe to share between threads."""

    def __init__(self, path: Path) -> None:
        from reportlab.pdfbase.ttfonts import TTFError, TTFontFace  # type: ignore[import-untyped]  # with the first font

        self.path = path
        try:
            self._parsed = TTFontFace(str(path))
        except (TTFError, OSError, ValueError, KeyError, IndexError) as error:
            raise BadFont(
                "labels.extra_fonts",
                f"{path.name} is no TrueType font that can be embedded",
                "Give a readable .ttf file with glyf outlines (no .otf, no web font)",
            ) from error
        self.glyph_ids: dict[int, int] = self._parsed.charToGlyph
        self._widths: dict[int, int] = self._parsed.charWidths
        self._default_width: int = self._parsed.defaultWidth
        self._lock = threading.Lock()

    @property
    def postscript_name(self) -> str:
        """The font's name for a PDF's /BaseFont."""
        name: bytes = self._parsed.name
        return name.decode("ascii", "replace")

    def advance(self, code_point: int) -> int:
        """Width of a character in thousandths of an em."""
        return int(self._widths.get(code_point, self._default_width))

    def metrics(self) -> dict[str, int]:
        """Ascent, descent, cap height and stem width in thousandths of an em, for a PDF."""
        parsed = self._parsed
        return {
            "Ascent": int(parsed.ascent),
            "Descent": int(parsed.descent),
            "CapHeight": int(parsed.capHeight),
            "StemV": int(parsed.stemV),
        }

    def bounding_box(self) -> tuple[int, ...]:
        """The box that holds every glyph, in thousandths of an em."""
        return tuple(int(value) for value in self._parsed.bbox)

    def subset(self, code_points: Sequence[int]) -> bytes:
        """A TrueType file with just these characters: glyph 0 is .notdef, n is the n-th of them.

        No two of them may share a glyph. The parser keeps a read position, hence the lock.
        """
        with self._lock:
            data: bytes = self._parsed.makeSubset(list(code_points))
        return data


class FontSet:
    """Faces in the order they are asked for a character: bundled first, then extra ones."""

    def __init__(self, faces: Sequence[Face]) -> None:
        self.faces = tuple(faces)
        self._found: tuple[dict[str, Glyph], dict[str, Glyph]] = ({}, {})

    @staticmethod
    def load(extra_fonts: Sequence[Path] = ()) -> FontSet:
        """The set for these extra files; the same object each time.

        Raises BadFont for a file that is missing or no TrueType font.
        """
        return _load(tuple(Path(path) for path in extra_fonts))

    def has(self, character: str) -> bool:
        """Whether a label can print this character."""
        return self._find(character, bold=False) is not None and not needs_shaping(character)

    def glyph(self, character: str, field: str, *, bold: bool = False) -> Glyph:
        """The glyph for one character. Raises UnprintableCharacter, naming `field`."""
        found = self._found[bold].get(character)
        if found is not None:
            return found
        if needs_shaping(character):
            raise UnprintableCharacter(field, character, needs_shaping=True)
        found = self._find(character, bold=bold)
        if found is None:
            raise UnprintableCharacter(field, character)
        self._found[bold][character] = found
        return found

    def advances(self, text: str, field: str, *, bold: bool = False) -> list[int]:
        """Width of each character in thousandths of an em."""
        known = self._found[bold]
        return [(known.get(c) or self.glyph(c, field, bold=bold)).advance for c in text]

    def _find(self, character: str, *, bold: bool) -> Glyph | None:
        code_point = ord(character)
        bundled = (1, 0) if bold else (0, 1)
        for index in (*bundled, *range(2, len(self.faces))):
            glyph_id = self.faces[index].glyph_ids.get(code_point, 0)
            if glyph_id:
                return Glyph(index, glyph_id, self.faces[index].advance(code_point))
        return None


def needs_shaping(character: str) -> bool:
    """Whether this character belongs to a script that cannot be set letter by letter."""
    code_point = ord(character)
    return any(first <= code_point <= last for first, last in _SHAPED_SCRIPTS)


@lru_cache(maxsize=64)
def _face(path: Path) -> Face:
    return Face(path)


@lru_cache(maxsize=16)
def _load(extra_fonts: tuple[Path, ...]) -> FontSet:
    return FontSet([_face(path) for path in (REGULAR_PATH, BOLD_PATH, *extra_fonts)])
