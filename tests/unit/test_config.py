"""Settings: every mistake is named with key and remedy, all at once; environment and secret files on top."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.config import AccountSettings, ConfigError, PartySettings, Settings, load, read
from engine.config_checks import is_loopback

STALL_RULE = "[[stall_rule]]\nname = 'r'\nsince = 'booked'\nafter_h = 24.0\n"
DIGEST = "0123456789abcdef" * 4
ACCOUNT = '[[account]]\nid = "sf-main"\ncarrier = "sf"\n'


def read_text(text: str, tmp_path: Path, **environment: str) -> Settings:
    """The settings of a file with this text."""
    path = tmp_path / "crossdock.toml"
    path.write_text(text, "utf-8")
    return load(path, environment)


def problems(text: str, tmp_path: Path, **environment: str) -> list[str]:
    """What is wrong with it."""
    with pytest.raises(ConfigError) as refusal:
        read_text(text, tmp_path, **environment)
    assert str(refusal.value) == "\n".join(refusal.value.problems)
    return refusal.value.problems


def test_without_a_file_the_defaults_hold() -> None:
    """They are sound by themselves."""
    assert load(None, {}) == Settings()


ONE_WRONG = [
    ("[serve]", "serve: no such section", "known: server"),
    ("[server]\nlisten_on = 1", "server.listen_on: no such key", "known: listen"),
    ("[server]\nlisten = 5", "server.listen: Expected `str`, got `int`", "engine/README.md"),
    ("[booking]\nreview_after_s = 'soon'", "booking.review_after_s: Expected `float`", "engine/README.md"),
    ("[labels]\nextra_fonts = [1]", "labels.extra_fonts: Expected `str`, got `int` - at `labels.extra_fonts[0]`", ""),
    ("[account]\nid = 'x'", "account: Expected `array`, got `object`", "engine/README.md"),
    ("account = ['x']", "account[0]: Expected `object`, got `str`", "engine/README.md"),
    ("[[account]]\nid = 'x'", "account[0].carrier: is missing", "add it"),
    ("[[account]]\nid = 5\ncarrier = 'sf'", "account[0].id: Expected `str`", "engine/README.md"),
    (ACCOUNT + "settings = 'x'", "account[0].settings: Expected `object`", "engine/README.md"),
    (ACCOUNT + "settings.a = 5", "account[0].settings: Expected `str`", "engine/README.md"),
    (ACCOUNT * 2, "account sf-main: stands 2 times", "unique"),
    (
        ACCOUNT + "[[account.tariff]]\nprovinces = ['*']\nfirst_price_fen = 1\nstep_weight_g = 1\nstep_price_fen = 1",
        "account[0].tariff[0].first_weight_g: is missing",
        "add it",
    ),
    ("[[tenant]]\nname = 'a'\n[[tenant]]\nname = 'a'", "tenant a: stands 2 times", "unique"),
    ("[[tenant]]\nname = 'a'\napi_key_sha256 = ['abc']", "tenant a: api_key_sha256", "hash-key"),
    (f"[[tenant]]\nname = 'a'\napi_key_sha256 = ['{'z' * 64}']", "tenant a: api_key_sha256", "hash-key"),
    (
        f"[[tenant]]\nname = 'a'\napi_key_sha256 = ['{DIGEST}']\n"
        f"[[tenant]]\nname = 'b'\napi_key_sha256 = ['{DIGEST.upper()}']",
        "tenant b: api_key_sha256 is also tenant a's",
        "give each its own",
    ),
    (
        "[[tenant]]\nname = 'a'\ncertificate_names = ['x']\n[[tenant]]\nname = 'b'\ncertificate_names = ['x']",
        "tenant b: certificate_names is also tenant a's",
        "give each its own",
    ),
    (
        "[[tenant]]\nname = 'a'\n[tenant.shipper]\nname = 'x'\nprovince = 'x'\ncity = 'x'\nstreet = 'x'",
        "tenant[0].shipper.phone: is missing",
        "add it",
    ),
    ("[[rule]]\nname = 'r'\nwhen = 'true'\n" * 2, "rule r: stands 2 times", "unique"),
    (STALL_RULE * 2, "stall_rule r: stands 2 times", "unique"),
    (STALL_RULE.replace("'r'", '"a\\nb"'), "stall_rule 'a\\nb': name: use 1 to 64 characters", "line feeds"),
    (STALL_RULE.replace("booked", "born"), "stall_rule r: since: 'born' is no clock", "booked, last_event, status"),
    (STALL_RULE.replace("24.0", "0.0"), "stall_rule r: after_h: 0 h", "more than 0"),
    (STALL_RULE.replace("24.0", "2160.5"), "stall_rule r: after_h: 2160.5 h", "at most 2160"),
    (STALL_RULE.replace("24.0", "nan"), "stall_rule r: after_h: nan h", "more than 0"),
    (STALL_RULE + "statuses = ['LOST']", "stall_rule r: statuses: 'LOST' is no status", "NOTHING_KNOWN, PRE_TRANSIT"),
    (STALL_RULE + "statuses = ['DELIVERED']", "stall_rule r: statuses: 'DELIVERED' is no status", "IN_TRANSIT"),
    (STALL_RULE.replace("after_h = 24.0", ""), "stall_rule[0].after_h: is missing", "add it"),
    ("".join(STALL_RULE.replace("'r'", f"'r{n}'") for n in range(101)), "stall_rule: 101 rules", "at most 100"),
    ("[server]\nlisten = 'here'", "server.listen: 'here' is not HOST:PORT", "write for example"),
    ("[ingress]\nlisten = '127.0.0.1:99999'", "ingress.listen: '127.0.0.1:99999' is not HOST:PORT", "write"),
    ("[server]\ntls_key_file = 'k'", "server.tls_certificate_file, server.tls_key_file: one is missing", "give both"),
    ("[server]\nclient_ca_file = 'c'", "server.client_ca_file: client certificates need TLS", "set tls_"),
    ("[server]\nlisten = '0.0.0.0:1'", "server.listen: 0.0.0.0:1 is not loopback", "allow_plaintext"),
    ("[server]\nlisten = '0.0.0.0:1'\nallow_plaintext = true", "tenant: none is configured", "hash-key --new"),
    (
        "[server]\nlisten = '0.0.0.0:1'\nallow_plaintext = true\n[[tenant]]\nname = 't'",
        "tenant t: has neither key nor certificate",
        "certificate_names",
    ),
    ("[store]\nkeep_keys_days = 1", "store.keep_keys_days: 1 is too little", "the least is 30"),
    ("[[tenant]]\nname = 't'\nweight = 0", "tenant t: weight: 0", "use 1 to 100"),
    ("[[account]]\nid = 'a'\ncarrier = 'x'\ndaily_cap = -1", "account a: daily_cap: -1", "or 0 for no cap"),
    ("[[account]]\nid = 'a'\ncarrier = 'x'\nshare_percent = 101", "account a: share_percent: 101", "use 1 to 100"),
    ("[[account]]\nid = 'a'\ncarrier = 'x'\ntime_zone = 'Mars/Base'", "account a: time_zone: 'Mars/Base'", "IANA"),
    ("[[account]]\nid = 'a'\ncarrier = 'x'\ntime_zone = ''", "account a: time_zone: ''", "IANA"),
    ("[[account]]\nid = 'sf main'\ncarrier = 'sf'", "account 'sf main': id:", "without blanks"),
    ("[outbound]\ndivert_wait_s = 0", "outbound.divert_wait_s: 0", "the least is 0.1"),
    ("[store]\ncache_mib = 0", "store.cache_mib: 0 is too little", "the least is 1"),
    ("[outbound]\nqueue_size = 0", "outbound.queue_size: 0 is too little", "the least is 1"),
    ("[log]\nlevel = 'loud'", "log.level: 'loud'", "use debug"),
    ("[server", "is not TOML", "correct the line"),
]


@pytest.mark.parametrize(("text", "what", "remedy"), ONE_WRONG, ids=[e[1][:40] for e in ONE_WRONG])
def test_a_mistake_is_named_with_its_key_and_remedy(text: str, what: str, remedy: str, tmp_path: Path) -> None:
    """One line a problem."""
    (problem,) = problems(text, tmp_path)

    assert what in problem
    assert remedy in problem


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    """Across sections and within one."""
    text = "[serve]\n[server]\nlisten = 5\nreflect = true\nfoo = 1\n[log]\nlevel = 5\n[[account]]\nid = 'x'\n"

    found = problems(text, tmp_path, CROSSDOCK_ACCOUNT__NOBODY__KEY="x", CROSSDOCK_NONSENSE="1")

    keys = ("serve:", "server.listen:", "server.reflect:", "server.foo:", "log.level:", "account[0].carrier:")
    assert [k for k in keys if not any(p.startswith(k) for p in found)] == []
    assert len(found) == len(keys) + 2


def test_wrong_keys_do_not_hide_what_is_wrong_with_others(tmp_path: Path) -> None:
    """Types, names, numbers, files and entries in one round; what can be read is handed on to further checks."""
    path = tmp_path / "crossdock.toml"
    path.write_text(
        "[server]\nlistn = 'x'\nreflection = 'yes'\ndrain_s = -5\n[ingress]\nlisten = 'nohost'\n"
        "[[tenant]]\nname = 't'\nweight = 'much'\n[[tenant]]\nname = 'u'\napi_key_sha256 = ['abc']\n"
        "[[account]]\nid = 'sf main'\ncarrier = 'sf'\nsettings.check_word_file = 'gone'\n",
        "utf-8",
    )

    found = read(path, {})

    keys = [
        "server.listn:",
        "server.reflection:",
        "server.drain_s:",
        "ingress.listen:",
        "tenant[0].weight:",
        "tenant u:",
        "account 'sf main': id:",
        "account sf main: settings.check_word_file:",
    ]
    assert [key for key in keys if not any(problem.startswith(key) for problem in found.problems)] == []
    assert len(found.problems) == len(keys)
    assert (found.doubtful, found.settings.server.reflection) == ({"server", "tenant"}, True)
    assert ([t.name for t in found.settings.tenant], found.settings.server.drain_s) == (["u"], -5)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("[server]\ntls_certificate_file = 5\ntls_key_file = 'k'", "server.tls_certificate_file"),
        ("[server]\nlisten = '0.0.0.0:1'\nallow_plaintxt = true", "server.allow_plaintxt"),
        ("[server]\ndefault_deadline_s = 'x'\nlongest_deadline_s = 20", "server.default_deadline_s"),
        (
            "[server]\nlisten = '0.0.0.0:1'\nallow_plaintext = true\n[[tenant]]\nname = 't'\napi_key_sha256 = 'x'",
            "tenant[0].api_key_sha256",
        ),
        ("[[account]]\nid = 'a'\ncarier = 'sf'", "account[0].carier"),
    ],
)
def test_what_follows_from_a_wrong_key_is_not_told(text: str, key: str, tmp_path: Path) -> None:
    """One mistake, one line."""
    (problem,) = problems(text, tmp_path)

    assert problem.startswith(f"{key}:")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Missing, or no text."""
    (tmp_path / "odd.toml").write_bytes(b"\xff\xfe")

    for name, what in (("gone.toml", "cannot be read"), ("odd.toml", "is not TOML in UTF-8")):
        with pytest.raises(ConfigError, match=rf"{name}: {what}"):
            load(tmp_path / name, {})


def test_the_environment_overlays_the_file(tmp_path: Path) -> None:
    """Text stays text, everything else is read as TOML would."""
    settings = read_text(
        "[server]\nlisten = '127.0.0.1:1'\n",
        tmp_path,
        CROSSDOCK_SERVER__LISTEN="127.0.0.1:2",
        CROSSDOCK_SERVER__REFLECTION="false",
        CROSSDOCK_BOOKING__REVIEW_AFTER_S="12.5",
        CROSSDOCK_LABELS__EXTRA_FONTS='["a.ttf"]',
        CROSSDOCK_STORE__PATH="7",
        CROSSDOCK_CONFIG="not a setting",
        OTHER="x",
    )

    assert (settings.server.listen, settings.server.reflection) == ("127.0.0.1:2", False)
    assert settings.booking.review_after_s == 12.5
    assert (settings.labels.extra_fonts, settings.store.path) == (("a.ttf",), "7")


def test_an_accounts_setting_comes_from_the_environment(tmp_path: Path) -> None:
    """The id in capitals, with _ for -; no account needs a secret in the file."""
    settings = read_text(ACCOUNT, tmp_path, CROSSDOCK_ACCOUNT__SF_MAIN__CHECK_WORD="s3cret")

    assert settings.account[0].settings == {"check_word": "s3cret"}


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("CROSSDOCK_ACCOUNT__OTHER__CHECK_WORD", "no [[account]] with id 'other'; check the id"),
        ("CROSSDOCK_SERVER", None),
        ("CROSSDOCK_LISTEN", "is not CROSSDOCK_<SECTION>__<KEY>; remove it or correct the name"),
        ("CROSSDOCK_A__B__C__D", "is not CROSSDOCK_<SECTION>__<KEY>; remove it or correct the name"),
        ("CROSSDOCK_SERVE__LISTEN", "serve: no such section"),
        ("CROSSDOCK_SERVER__LISTENS", "server.listens: no such key"),
        ("CROSSDOCK_SERVER__REFLECTION", "server.reflection: Expected `bool`"),
        ("CROSSDOCK_ACCOUNT__ID", "is not CROSSDOCK_<SECTION>__<KEY>"),
    ],
)
def test_a_variable_that_sets_nothing_is_named(name: str, what: str | None, tmp_path: Path) -> None:
    """A misspelt override must not be silently ignored."""
    if what is None:
        assert read_text(ACCOUNT, tmp_path, **{name: "s3cret"}).server == Settings().server
        return
    (problem,) = problems(ACCOUNT, tmp_path, **{name: "s3cret"})

    assert what in problem
    assert "s3cret" not in problem


def secret_file(tmp_path: Path, mode: int, content: bytes = b"s3cret\n") -> str:
    """Settings with a secret file beside them."""
    (tmp_path / "word").write_bytes(content)
    (tmp_path / "word").chmod(mode)
    return ACCOUNT + "settings.check_word_file = 'word'\n"


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_secret_is_read_from_its_own_file(mode: int, tmp_path: Path) -> None:
    """Beside the settings file, without the line break at its end."""
    settings = read_text(secret_file(tmp_path, mode), tmp_path)

    assert settings.account[0].settings == {"check_word": "s3cret"}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o610, 0o622])
def test_a_secret_file_that_others_can_use_is_refused(mode: int, tmp_path: Path) -> None:
    """With the command that mends it; the secret is not quoted."""
    (problem,) = problems(secret_file(tmp_path, mode), tmp_path)

    assert problem.startswith("account sf-main: settings.check_word_file:")
    assert "chmod 600" in problem
    assert "s3cret" not in problem


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (ACCOUNT + "settings.check_word_file = 'gone'\n", "cannot be read (No such file or directory)"),
        (ACCOUNT + "settings.check_word_file = 'empty'\n", "empty is empty; store the secret in it"),
        (ACCOUNT + "settings.check_word_file = 5\n", "cannot be read"),
    ],
)
def test_a_secret_file_that_is_not_there_is_named(text: str, what: str, tmp_path: Path) -> None:
    """With the account and the key; one without a secret in it likewise."""
    (tmp_path / "empty").touch(0o600)

    (problem,) = problems(text, tmp_path)

    assert problem.startswith("account sf-main: settings.check_word_file:")
    assert what in problem


def test_a_secret_file_without_text_is_named(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 would sign nothing."""
    (problem,) = problems(secret_file(tmp_path, 0o600, b"\xff"), tmp_path)

    assert "is not text in UTF-8" in problem


def test_settings_never_show_secrets_or_people() -> None:
    """Whatever prints or logs them."""
    account = AccountSettings(id="a", carrier="sf", settings={"check_word": "s3cret"})
    shipper = PartySettings(name="张三", phone="13800000000", province="广东省", city="深圳市", street="一路1号")

    text = repr(Settings(account=(account,))) + str(shipper) + f"{account}"

    assert not [part for part in ("s3cret", "张三", "13800000000", "一路") if part in text]


@pytest.mark.parametrize(
    ("listen", "loopback"),
    [
        ("127.0.0.1:1", True),
        ("127.9.9.9:1", True),
        ("localhost:1", True),
        ("[::1]:1", True),
        ("0.0.0.0:1", False),
        ("[::]:1", False),
        ("10.0.0.1:1", False),
        ("127.example.com:1", False),
        ("example.com:1", False),
    ],
)
def test_only_this_machines_own_addresses_are_loopback(listen: str, loopback: bool) -> None:
    """A name that merely begins like one is not."""
    assert is_loopback(listen) is loopback


def test_tls_or_an_explicit_switch_opens_the_listener(tmp_path: Path) -> None:
    """Both are deliberate."""
    tenant = "[[tenant]]\nname = 't'\ncertificate_names = ['shop']\n"
    tls = (
        "[server]\nlisten = '0.0.0.0:1'\ntls_certificate_file = 'c'\ntls_key_file = 'k'\nclient_ca_file = 'a'\n"
        + tenant
    )
    plain = "[server]\nlisten = '0.0.0.0:1'\nallow_plaintext = true\n" + tenant

    assert read_text(tls, tmp_path).server.tls_key_file == "k"
    assert read_text(plain, tmp_path).server.allow_plaintext
