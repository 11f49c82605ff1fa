"""What the sandbox's merchant has decided: the warehouse, which orders go by whom, which returns are taken back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

WAREHOUSE = {
    "name": "样例仓库",
    "company": "样例商城",
    "phone": "0571-86001234",
    "province": "浙江省",
    "city": "杭州市",
    "district": "余杭区",
    "street": "样例大道1号3号仓",
}

RULES: tuple[Mapping[str, Any], ...] = (
    {
        "name": "cold chain goes by sf",
        "when": "order.options.temperature in [Temperature.TEMPERATURE_CHILLED, Temperature.TEMPERATURE_FROZEN]",
        "only": ["sf"],
    },
    {"name": "over 20 kg goes by freight", "when": "weight_g > 20000", "only": ["sf"], "services": ["154", "155"]},
    {
        "name": "express goes by sf",
        "when": "order.service_level == ServiceLevel.SERVICE_LEVEL_EXPRESS",
        "prefer": ["sf"],
    },
)

RETURN_RULES: tuple[Mapping[str, Any], ...] = (
    {
        "name": "seven days, unopened",
        "when": "delivered && days_since_delivery <= 7.0 && !request.opened",
        "decision": "approve",
        "explanation": "sent back unopened within seven days",
    },
    {
        "name": "opened goods",
        "when": "request.opened",
        "decision": "review",
        "explanation": "somebody has to look at opened goods",
    },
)
