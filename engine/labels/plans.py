"""Where the rows of a label stand on each paper: a table of heights in millimetres, nothing else.

Rows follow each other from the top margin down; their sum is the paper less two margins (a test
holds it). A row of height 0 is left out on that paper.
"""

from __future__ import annotations

import msgspec

from engine.labels.model import LabelSize

#: White edge: printers feed with half a millimetre of play, and some cannot print the last one.
MARGIN_MM = 2.0


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Heights of the rows, and the widths that differ between papers."""

    header: float
    sort: float
    bag: float
    barcode: float
    recipient: float
    shipper: float
    marks: float
    info: float
    stub: float
    #: Width of the cell that holds 收 and 寄.
    mark_cell: float
    #: Largest size of the routing code, points.
    sort_pt: float
    #: Largest sizes of the recipient's name and address, points.
    name_pt: float
    address_pt: float

    @property
    def total(self) -> float:
        """Height of all rows."""
        return (
            self.header
            + self.sort
            + self.bag
            + self.barcode
            + self.recipient
            + self.shipper
            + self.marks
            + self.info
            + self.stub
        )


PLANS: dict[LabelSize, Plan] = {
    LabelSize.MM_100X150: Plan(
        header=11.5,
        sort=16,
        bag=8.5,
        barcode=21,
        recipient=26.5,
        shipper=14.5,
        marks=8,
        info=25,
        stub=15,
        mark_cell=10,
        sort_pt=42,
        name_pt=15,
        address_pt=14,
    ),
    LabelSize.MM_100X180: Plan(
        header=13,
        sort=18,
        bag=9.5,
        barcode=24,
        recipient=30,
        shipper=17,
        marks=9,
        info=27.5,
        stub=28,
        mark_cell=10,
        sort_pt=46,
        name_pt=16,
        address_pt=15,
    ),
    LabelSize.MM_76X130: Plan(
        header=9.5,
        sort=14,
        bag=7.5,
        barcode=20,
        recipient=27,
        shipper=14,
        marks=7.5,
        info=26.5,
        stub=0,
        mark_cell=8,
        sort_pt=36,
        name_pt=13,
        address_pt=12.5,
    ),
    LabelSize.IN_4X6: Plan(
        header=11.5,
        sort=16.4,
        bag=8.5,
        barcode=21.5,
        recipient=27.5,
        shipper=15,
        marks=8,
        info=25,
        stub=15,
        mark_cell=10,
        sort_pt=42,
        name_pt=15,
        address_pt=14,
    ),
}
