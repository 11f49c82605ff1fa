"""Shared by the label tests: one ordinary label, to be changed field by field, and the fonts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from engine.labels import FontSet, LabelContent, LabelParty

MakeContent = Callable[..., LabelContent]

_ORDINARY: dict[str, Any] = {
    "carrier_code": "sf",
    "carrier_name_zh": "顺丰速运",
    "carrier_name_en": "SF Express",
    "service_name": "顺丰标快",
    "waybill_number": "SF1990000000017",
    "piece_number": 2,
    "piece_count": 3,
    "sort_code": "028W-AB-012",
    "bag_address": "成都双流集散中心",
    "shipper": LabelParty(
        name="样例仓库",
        phone="0571-88880000",
        address_line="浙江省杭州市西湖区文三路1号样例大厦3层",
    ),
    "recipient": LabelParty(
        name="欧阳娜军",
        phone="19900000015",
        address_line="四川省成都市武侯区桂溪街道天府大道2号样例小区5栋2单元1101室",
    ),
    "goods": '保温杯☕ 100% A&B "特价" +赠品 <b>新</b>',
    "weight_g": 1450,
    "reference": "SO20260000015",
    "remark": "请送货上门",
    "temperature": "CHILLED",
    "cod_minor_units": 19900,
    "insured_minor_units": 500000,
    "service_marks": ("签单返还",),
    "printed_at": datetime(2026, 3, 2, 14, 5, tzinfo=timezone(timedelta(hours=8))),
}


@pytest.fixture
def make_content() -> MakeContent:
    """Builds the ordinary label with some fields changed; `name`, `phone`, `address` are the
    recipient's."""

    def make(
        *,
        name: str | None = None,
        phone: str | None = None,
        address: str | None = None,
        **changes: Any,
    ) -> LabelContent:
        usual: LabelParty = _ORDINARY["recipient"]
        recipient = LabelParty(
            name=usual.name if name is None else name,
            phone=usual.phone if phone is None else phone,
            address_line=usual.address_line if address is None else address,
        )
        return LabelContent(**{**_ORDINARY, "recipient": recipient, **changes})

    return make


@pytest.fixture(scope="session")
def fonts() -> FontSet:
    """The bundled fonts, parsed once for all tests."""
    return FontSet.load()
