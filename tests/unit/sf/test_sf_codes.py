"""The error tables, row by row against the carrier sheet."""

from __future__ import annotations

import pytest
from sf_kit import gateway, refusal

from crossdock_sdk import CarrierError, ErrorClass, SideEffect
from crossdock_sf import codes, wire

GATEWAY_ROWS = {
    "AUTH": "A1002 A1003 A1004 A1006 A1011",
    "INVALID_REQUEST": "A1001 A1008",
    "RATE_LIMITED": "A1005",
    "DUPLICATE": "A1007",
    "TEMPORARY": "A1009 A1099",
    "PERMANENT": "A1010",
}
BUSINESS_ROWS = {
    "INVALID_REQUEST": (
        "S0001 S0002 S0004 S0005 S0006 S0007 1010 1011 1012 1014 1015 1016 1020 1023 1028 1038 "
        "4002 6126 6127 6128 6130 6133 6138 6139 6200 6201 6202 6203 6204 6205 6206 6207 8003 8013 "
        "8017 8027 8057 8067 8117 8096 8191 8194 8196 8247 8256 20011 20012"
    ),
    "TEMPORARY": "S0003 4001",
    "NOT_FOUND": "6150 8018 8024",
    "DUPLICATE": "8016",
    "PERMANENT": "8019 8037 8168 8252 8253 20035",
    "NO_SERVICE": "8051 8052 8053 20036",
    "AUTH": "8114 8119 8179 20028",
    "CAPACITY": "8177",
}
UNKNOWN_EFFECT = {"A1007", "A1009", "A1099", "S0003", "4001", "8016", "8019", "8252", "8253"}


def _pairs(rows: dict[str, str]) -> list[tuple[str, str]]:
    return [(code, name) for name, listed in rows.items() for code in listed.split()]


@pytest.mark.parametrize(("code", "name"), _pairs(GATEWAY_ROWS))
def test_gateway_code_has_the_class_of_the_sheet(code: str, name: str) -> None:
    """Each gateway code is refused with its class, and only some of them prove nothing."""
    with pytest.raises(CarrierError) as caught:
        wire.unwrap(gateway(code))

    assert (caught.value.error_class, caught.value.code) == (ErrorClass(name), code)
    assert (caught.value.side_effect is SideEffect.UNKNOWN) == (code in UNKNOWN_EFFECT)


@pytest.mark.parametrize(("code", "name"), _pairs(BUSINESS_ROWS))
def test_business_code_has_the_class_of_the_sheet(code: str, name: str) -> None:
    """Each business code is refused with its class, and only some of them prove nothing."""
    with pytest.raises(CarrierError) as caught:
        wire.unwrap(refusal(code, "文字"))

    assert (caught.value.error_class, caught.value.code) == (ErrorClass(name), code)
    assert caught.value.message == "文字"
    assert (caught.value.side_effect is SideEffect.UNKNOWN) == (code in UNKNOWN_EFFECT)


def test_tables_hold_no_row_beyond_the_sheet() -> None:
    """Every row of the plug-in is one of the sheet's, so each is covered above."""
    listed = {code for code, _ in _pairs(GATEWAY_ROWS) + _pairs(BUSINESS_ROWS)}

    assert listed == codes.GATEWAY.rows.keys() | codes.BUSINESS.rows.keys()


@pytest.mark.parametrize(
    ("code", "field"),
    [
        ("1010", "shipper.address"),
        ("1011", "shipper.contact.name"),
        ("1012", "shipper.contact.phone"),
        ("1014", "recipient.address"),
        ("1015", "recipient.contact.name"),
        ("1016", "recipient.contact.phone"),
        ("8057", "service"),
        ("8096", "options.pickup_start_time"),
        ("8117", "parcels"),
        ("20012", "parcels.weight_g"),
    ],
)
def test_code_about_a_field_names_ours(code: str, field: str) -> None:
    """A refusal that is clearly about one field carries our path of it."""
    assert codes.business_error(code, "").field == field


@pytest.mark.parametrize(
    ("text", "name", "effect"),
    [
        ("该线路产品尚未开通", "NO_SERVICE", "NONE"),
        ("templateCode:X is not matched the clientCode:Y", "INVALID_REQUEST", "NONE"),
        ("找不到该运单", "TEMPORARY", "NONE"),
        ("系统繁忙", "TEMPORARY", "UNKNOWN"),
    ],
)
def test_text_decides_only_without_a_known_code(text: str, name: str, effect: str) -> None:
    """The sheet's refusal texts are recognised under unknown codes; other texts prove nothing."""
    error = codes.business_error("", text)

    assert (error.error_class, error.side_effect) == (ErrorClass(name), SideEffect(effect))
    assert codes.business_error("8016", text).error_class is ErrorClass.DUPLICATE


@pytest.mark.parametrize("code", ["A2000", "9999", "s0000"])
def test_unknown_code_is_never_guessed(code: str) -> None:
    """A code that is in no table is TEMPORARY with unknown effect."""
    for response in (gateway(code), refusal(code)):
        with pytest.raises(CarrierError) as caught:
            wire.unwrap(response)

        assert caught.value.error_class is ErrorClass.TEMPORARY
        assert caught.value.side_effect is SideEffect.UNKNOWN


def test_shown_text_hides_phones_and_keeps_waybills() -> None:
    """A phone number that SF repeats is masked; a waybill number stays readable."""
    shown = codes.shown("电话13800000002不正确\r\ntel0755-86010515, 运单SF1040275268927" + "长" * 300)

    assert "13800000002" not in shown
    assert "86010515" not in shown
    assert "SF1040275268927" in shown
    assert len(shown) == 200
    assert "\n" not in shown
