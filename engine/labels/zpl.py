"""The ZPL II back end: native barcodes and Latin text, rasters for everything else.

Printers have no Chinese font, so a line with any character outside ASCII, and every black band
with its white text, goes over as a picture: ^GFA with zlib data in base64 and a CRC (":Z64:",
Zebra's ZPL II Programming Guide). ASCII lines use the printer's scalable font 0; it runs
narrower than the layout's font, so a line that fits there fits here.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from engine.labels.fontset import FontSet
from engine.labels.scene import QrSymbol, Rect, Scene, TextRun, dark_runs

#: Font 0 is a condensed bold; a regular line is set a little narrower so that it looks no heavier.
_WIDTH_SHARE = {True: 1.0, False: 0.92}
#: Marks that font 0 sets wider than the layout's font, and how wide (thousandths of an em).
_WIDE_MARKS = frozenset("-+=<>*")
_WIDE_MARK = 620
#: What is a command or an escape to a printer, even inside data.
_RESERVED = frozenset("^~_")
#: Grey above this (255 is full ink) becomes a dot.
_INK_ABOVE = 105
_INK = [0 if value <= _INK_ABOVE else 255 for value in range(256)]
#: Captions stand at the same place on every label of a kind: so many pictures of text are kept.
_SAME_EVERYWHERE = 256
#: Firmware draws ^BQ ten dots below its ^FO origin.
_QR_SHIFT_DOTS = 10


def render_zpl(scene: Scene, fonts: FontSet) -> bytes:
    """One label as ZPL, from ^XA to ^XZ, in ASCII."""
    parts = [f"^XA^CI28^LH0,0^PW{scene.width}^LL{scene.height}"]
    parts += [f"^FO{r.x},{r.y}^GB{r.width},{r.height},{min(r.width, r.height)}^FS" for r in scene.rects]
    inside: set[int] = set()
    for band in scene.bands:
        runs = tuple([run for run in scene.texts if run.white and _holds(band, run)])
        inside.update(map(id, runs))
        parts.append(_band(band, runs, fonts))
    parts += [_text(run, fonts) for run in scene.texts if id(run) not in inside]
    for bars in scene.barcodes:
        # Mode A lets the printer choose the code sets, as the layout's encoder did.
        parts.append(
            f"^FO{bars.x},{bars.y}^BY{bars.module_dots}^BCN,{bars.height},N,N,N,A^FH_^FD{_escaped(bars.text)}^FS"
        )
    parts += [_qr(code) for code in scene.qr_codes]
    parts.append("^XZ\n")
    return "\n".join(parts).encode("ascii")


def image_zpl(image: Image.Image) -> bytes:
    """A whole page as one picture: how a carrier's own label reaches a ZPL printer."""
    ink = image.convert("L").point([255 - value for value in range(256)], "1")
    head = f"^XA^LH0,0^PW{image.width}^LL{image.height}\n"
    return (head + _field(0, 0, ink) + "\n^XZ\n").encode("ascii")


def _holds(band: Rect, run: TextRun) -> bool:
    return (
        band.x <= run.x
        and run.x + run.width <= band.x + band.width + 1
        and band.y <= run.baseline <= band.y + band.height
    )


def _text(run: TextRun, fonts: FontSet) -> str:
    if not run.text.isascii() or "\\" in run.text:
        return _raster_text(run, fonts)
    height = round(run.em)
    width = _font_width(run, fonts)
    font = f"^A0N,{height},{width}"
    if run.align == "L":
        place = f"^FT{round(run.x)},{round(run.baseline)}{font}"
    else:
        box = run.box
        place = f"^FT{box.x},{round(run.baseline)}{font}^FB{box.width},1,0,{run.align}"
    return f"{place}^FH_^FD{_escaped(run.text)}^FS"


def _font_width(run: TextRun, fonts: FontSet) -> int:
    # ^FB breaks a line that is too wide and prints its parts over each other: stay inside.
    share = _WIDTH_SHARE[run.bold]
    advances = fonts.advances(run.text, run.field, bold=run.bold)
    pairs = zip(run.text, advances, strict=True)
    units = sum(max(advance, _WIDE_MARK if c in _WIDE_MARKS else 0) for c, advance in pairs)
    room = run.box.width * 1000 / max(units * run.em * share, 1)
    return max(1, int(run.em * share * min(1.0, room)))


def _escaped(text: str) -> str:
    return "".join(f"_{ord(c):02X}" if c in _RESERVED else c for c in text)


@lru_cache(maxsize=_SAME_EVERYWHERE)
def _raster_text(run: TextRun, fonts: FontSet) -> str:
    # Glyphs such as "J" or "Å" may reach a little out of the em box: leave room around.
    pad = max(2, round(run.em * 0.3))
    x, top = int(run.x) - pad, int(run.baseline - run.em) - pad
    width, height = int(run.width) + 2 * pad + 2, int(run.em * 1.2) + 2 * pad
    ink = Image.new("1", (width, height), 0)
    _draw(ink, 1, run, x, top, fonts)
    bounds = ink.getbbox()
    if bounds is None:
        return ""
    left, upper = max(bounds[0], -x), max(bounds[1], -top)
    return _field(x + left, top + upper, ink.crop((left, upper, bounds[2], bounds[3])))


@lru_cache(maxsize=_SAME_EVERYWHERE)
def _band(band: Rect, runs: tuple[TextRun, ...], fonts: FontSet) -> str:
    ink = Image.new("1", (band.width, band.height), 1)
    for run in runs:
        _draw(ink, 0, run, band.x, band.y, fonts)
    return _field(band.x, band.y, ink)


def _draw(picture: Image.Image, dot: int, run: TextRun, x0: int, y0: int, fonts: FontSet) -> None:
    """Set the text's dots to `dot`: 1 prints, 0 leaves white."""
    x, baseline = run.x - x0, round(run.baseline - y0)
    em = round(run.em * 4) / 4
    for character in run.text:
        glyph = fonts.glyph(character, run.field, bold=run.bold)
        ink, left, top = _glyph(fonts.faces[glyph.face_index].path, em, character)
        if ink is not None:
            picture.paste(dot, (round(x) + left, baseline + top), ink)
        x += glyph.advance * run.em / 1000


@lru_cache(maxsize=4096)
def _glyph(path: Path, em: float, character: str) -> tuple[Image.Image | None, int, int]:
    """One character's dots and their place from the pen. Characters repeat: drawn once, kept."""
    font = _font(path, em)
    left, top, right, bottom = (int(edge) for edge in font.getbbox(character, anchor="ls"))
    if right <= left or bottom <= top:
        return None, 0, 0
    grey = Image.new("L", (right - left, bottom - top), 0)
    ImageDraw.Draw(grey).text((-left, -top), character, fill=255, font=font, anchor="ls")
    return grey.point(_INK, "1"), left, top


@lru_cache(maxsize=256)
def _font(path: Path, em: float) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(path), em, layout_engine=ImageFont.Layout.BASIC)


def _qr(code: QrSymbol) -> str:
    if not code.text.isascii():
        # How firmware encodes other bytes depends on its settings; a picture does not.
        return _field(code.x, code.y, _qr_image(code))
    # "M" is the error correction, "A" lets the printer choose the mode.
    y = code.y - _QR_SHIFT_DOTS
    data = _escaped(code.text)
    return f"^FO{code.x},{y}^BQN,2,{code.module_dots}^FH_^FDMA,{data}^FS"


def _qr_image(code: QrSymbol) -> Image.Image:
    side = len(code.rows) * code.module_dots
    image = Image.new("1", (side, side), 0)
    draw = ImageDraw.Draw(image)
    module = code.module_dots
    for index, row in enumerate(code.rows):
        for start, length in dark_runs(row):
            x, y = start * module, index * module
            draw.rectangle((x, y, x + length * module - 1, y + module - 1), fill=1)
    return image


def _field(x: int, y: int, ink: Image.Image) -> str:
    """A ^GFA field; `ink` is 1-bit, 1 is a dot to print."""
    data = ink.tobytes()
    row_bytes = (ink.width + 7) // 8
    text = base64.b64encode(zlib.compress(data, 9)).decode("ascii")
    crc = binascii.crc_hqx(text.encode("ascii"), 0)
    return f"^FO{x},{y}^GFA,{len(data)},{len(data)},{row_bytes},:Z64:{text}:{crc:04X}^FS"
