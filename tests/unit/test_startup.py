"""What is found before an engine starts: every problem at once, with its key and the remedy."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from msgspec.structs import replace

from crossdock_sdk.manifest import Setting
from engine.config import (
    AccountSettings,
    ConfigError,
    IngressSettings,
    PartySettings,
    ReturnRuleSettings,
    RuleSettings,
    ServerSettings,
    Settings,
    StallRuleSettings,
    StoreSettings,
    TenantSettings,
)
from engine.core.registry import Registry
from engine.startup import examine, place_problems, prepare, rule_problems, secrecy_problems, startup_problems
from tests.fakes.carrier import FakeCarrier, manifest

SETTINGS = (Setting("check_word", "the check word", secret=True),)
REGISTRY = Registry({"alpha": FakeCarrier(manifest("alpha", setting=SETTINGS))}, ())
SOUND = AccountSettings(id="alpha-1", carrier="alpha", settings={"check_word": "s3cret"})


def test_everything_that_an_engine_compiles_is_looked_at_before_it_starts(tmp_path: Path) -> None:
    """Accounts, tenants and all three kinds of conditions, reported together."""
    settings = Settings(
        account=(replace(SOUND, carrier="nobody"),),
        tenant=(
            TenantSettings(name="acme", shipper=PartySettings(name="", phone="", street="", province="", city="")),
        ),
        rule=(RuleSettings(name="r1", when="no_such_variable"),),
        return_rule=(ReturnRuleSettings(name="r2", when="1 +", decision="approve"),),
        stall_rule=(StallRuleSettings(name="r3", since="last_event", after_h=1.0, when="no_such_variable"),),
        store=StoreSettings(master_key_file=str(tmp_path / "missing")),
    )

    found = startup_problems(None, settings, REGISTRY)

    for place in ("account alpha-1", "tenant acme", "rule r1", "return_rule r2", "stall_rule r3", "store.master_key"):
        assert any(text.startswith(place) for text in found), (place, found)
    with pytest.raises(ConfigError):
        prepare(settings, REGISTRY)


def test_settings_that_cannot_all_be_read_are_examined_all_the_same(tmp_path: Path) -> None:
    """Accounts, secrets and conditions in the round that names misspelt keys; nothing twice or as a consequence."""
    path = tmp_path / "crossdock.toml"
    path.write_text(
        "[server]\nlistn = 'x'\n[[account]]\nid = 'u'\ncarrier = 'ups'\n[[account]]\nid = 5\ncarrier = 'beta'\n"
        "[[account]]\nid = 'alpha-1'\ncarrier = 'alpha'\nsettings.check_word_file = 'gone'\n"
        "[[rule]]\nname = 'r1'\nwhen = '1 +'\nprefer = ['beta']\nservices = ['b2']\n"
        "[[stall_rule]]\nname = 'r2'\nsince = 'born'\nafter_h = 1.0\nwhen = 'no_such_variable'\n",
        "utf-8",
    )
    path.chmod(0o644)

    found = examine(path, REGISTRY).problems

    places = ["server.listn", "account u: carrier", "account[1].id", "account alpha-1: settings.check_word_file"]
    places += ["rule r1: when", "stall_rule r2: since", "stall_rule r2: when"]
    assert [place for place in places if sum(text.startswith(place) for text in found) != 1] == []
    assert len(found) == len(places)


def test_products_of_a_carrier_that_is_not_here_are_not_called_wrong() -> None:
    """Its account is named already."""
    rule = RuleSettings(name="far", when="remote", services=("99",))

    found = startup_problems(None, Settings(account=(replace(SOUND, carrier="ups"),), rule=(rule,)), REGISTRY)

    assert [text.partition(";")[0] for text in found] == ["account alpha-1: carrier: 'ups' is not loaded"]


def test_sound_settings_have_no_problems() -> None:
    """And become what the engine works with."""
    settings = Settings(account=(SOUND,), return_rule=(ReturnRuleSettings("r", "delivered", "approve"),))

    assert startup_problems(None, settings, REGISTRY) == []
    assert list(prepare(settings, REGISTRY).accounts) == ["alpha-1"]


def test_a_rule_that_names_nobody_is_told() -> None:
    """A misspelt carrier or product would send its orders nowhere."""
    rule = RuleSettings(name="far", when="remote", prefer=("alfa",), services=("99",))

    found = rule_problems(Settings(account=(SOUND,), rule=(rule,)), REGISTRY)

    assert [text.split(":")[1].strip() for text in found] == ["prefer", "services"]
    assert "'alfa'; use one of alpha" in found[0]
    assert (
        rule_problems(Settings(account=(SOUND,), rule=(replace(rule, prefer=("alpha",), services=()),)), REGISTRY) == []
    )


@pytest.mark.parametrize(("mode", "count"), [(0o600, 0), (0o644, 1)])
def test_a_settings_file_with_a_secret_is_for_its_owner_only(tmp_path: Path, mode: int, count: int) -> None:
    """The remedy is chmod, or a file of its own; the secret is not repeated."""
    path = tmp_path / "crossdock.toml"
    path.write_text('[[account]]\nid = "a"\ncarrier = "alpha"\n[account.settings]\ncheck_word = "s3cret"\n', "utf-8")
    path.chmod(mode)

    found = secrecy_problems(path, Settings(account=(SOUND,)), REGISTRY)

    assert len(found) == count
    assert all("chmod 600" in text and "s3cret" not in text for text in found)


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        (Settings(store=StoreSettings(path="/nowhere/x.db")), "store.path: the folder /nowhere does not exist; create"),
        (
            Settings(server=ServerSettings(listen="192.0.2.1:50051")),
            "server.listen: 192.0.2.1:50051 cannot be listened on (Cannot assign requested address); name an address",
        ),
        (
            Settings(ingress=IngressSettings(listen="nobody.invalid:1")),
            "ingress.listen: nobody.invalid:1 cannot be listened on (",
        ),
    ],
)
def test_places_where_an_engine_cannot_be_are_named(settings: Settings, what: str) -> None:
    """Before it starts, with the key and the remedy."""
    (problem,) = place_problems(settings)

    assert problem.startswith(what)


def test_an_address_that_is_taken_is_no_mistake_of_the_settings() -> None:
    """They are checked beside the engine that runs by them."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"

        assert place_problems(Settings(server=ServerSettings(listen=listen))) == []
