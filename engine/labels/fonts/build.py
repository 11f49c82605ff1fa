"""Makes the two font files of this folder from the npm package @expo-google-fonts/noto-sans-sc.

    python engine/labels/fonts/build.py PACKAGE_FOLDER

Needs fonttools (development only; the engine never imports it). The output is the same, byte
for byte, for the same package and the same fonttools. Regular keeps every Han character the
font has, because a name may hold any of them; Bold is for headings and keeps GB 2312 and Latin,
and the layout falls back to Regular for a character it lacks. Layout tables are dropped: labels
use none.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from fontTools import subset  # type: ignore[import-untyped]
from fontTools.ttLib import TTFont  # type: ignore[import-untyped]

HERE = Path(__file__).parent

#: Everything that is no Han character but may stand on a label: (first, last), both included.
SYMBOL_RANGES = (
    (0x0020, 0x007E),  # ASCII
    (0x00A0, 0x024F),  # Latin-1, Latin Extended-A and -B
    (0x0370, 0x03FF),  # Greek
    (0x0400, 0x04FF),  # Cyrillic
    (0x1E00, 0x1EFF),  # Latin Extended Additional (Vietnamese)
    (0x2000, 0x206F),  # punctuation
    (0x20A0, 0x20BF),  # currency signs
    (0x2100, 0x22FF),  # letter-like forms, numerals, arrows, operators
    (0x2460, 0x24FF),  # enclosed figures
    (0x2500, 0x26FF),  # boxes, shapes, symbols
    (0x3000, 0x30FF),  # CJK punctuation, kana
    (0x3100, 0x312F),  # bopomofo
    (0x3200, 0x33FF),  # enclosed and squared CJK
    (0xFE30, 0xFE4F),  # CJK compatibility forms
    (0xFF00, 0xFFEF),  # full-width and half-width forms
)
HAN_RANGES = (
    (0x2E80, 0x2FDF),  # radicals
    (0x3400, 0x4DBF),  # Extension A
    (0x4E00, 0x9FFF),  # unified ideographs
    (0xF900, 0xFAFF),  # compatibility ideographs
    (0x20000, 0x3FFFF),  # Extensions B and later
)


def main(package: Path) -> None:
    """Writes both subsets and the licence beside this script."""
    symbols = set(_expand(SYMBOL_RANGES))
    _build(
        package / "400Regular/NotoSansSC_400Regular.ttf",
        HERE / "NotoSansSC-Regular.ttf",
        symbols | set(_expand(HAN_RANGES)),
    )
    _build(
        package / "700Bold/NotoSansSC_700Bold.ttf",
        HERE / "NotoSansSC-Bold.ttf",
        symbols | set(_gb2312()),
    )
    shutil.copyfile(package / "LICENSE_FONT", HERE / "OFL.txt")
    (HERE / "OFL.txt").chmod(0o644)


def _expand(ranges: Iterable[tuple[int, int]]) -> Iterable[int]:
    for first, last in ranges:
        yield from range(first, last + 1)


def _gb2312() -> Iterable[int]:
    for high in range(0xA1, 0xF8):
        for low in range(0xA1, 0xFF):
            yield from map(ord, bytes((high, low)).decode("gb2312", "ignore"))


def _build(source: Path, target: Path, wanted: set[int]) -> None:
    options = subset.Options()
    options.layout_features = []
    options.drop_tables += ["GSUB", "GPOS", "GDEF", "BASE", "STAT", "vhea", "vmtx", "gasp"]
    options.name_IDs = [0, 1, 2, 3, 4, 5, 6, 7, 13, 14]
    options.notdef_outline = True
    options.recalc_timestamp = False
    font = TTFont(source, recalcTimestamp=False)
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=wanted)
    subsetter.subset(font)
    # The font has no hints but this 7-byte program, and FreeType runs its slow auto-hinter on fonts
    # whose program is no longer than that. "Push 0, pop" makes it longer: rasters take a
    # third less time.
    font["prep"].program.fromBytecode(font["prep"].program.getBytecode() + b"\xb0\x00\x21")
    font.save(target)
    print(f"{target.name}: {len(font.getBestCmap())} characters, {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python engine/labels/fonts/build.py PACKAGE_FOLDER")
    main(Path(sys.argv[1]))
