"""From settings to what the rooms take: accounts, tariffs, tenants, addresses. Checked against the manifests."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

from crossdock_sdk import Account, Address, Contact, Manifest, Party, Secret
from crossdock_sdk.tracking import TrackStatus
from engine.api.gate import Tenants
from engine.clock import Clock
from engine.config import AccountSettings, ConfigError, PartySettings, Settings, is_open_to_others
from engine.core.policy.booking import Rules
from engine.core.policy.brownout import Brownout, Reading, Thresholds
from engine.core.policy.failback import FailbackRules
from engine.core.policy.proving import Proofs
from engine.core.policy.records import Tenant
from engine.core.policy.routing import AccountFacts, Tariff
from engine.core.policy.shares import Shares
from engine.core.policy.stalls import DEFAULT_STALL_RULES, NOTHING_KNOWN, Since, StallRule
from engine.core.policy.tallies import DailyCap, Tallies
from engine.core.policy.validation import check_party
from engine.core.proving import Proving, can_be_asked
from engine.core.registry import Registry
from engine.log import logger
from engine.metrics import Metrics
from engine.outbound.outbound import Outbound
from engine.store.codec import AesGcmCodec, Codec, PlainCodec
from engine.store.in_hand import InHand
from engine.store.port import Store

MAKE_KEY = "name the file that holds the key, or make one for a new store: openssl rand -hex 32"
ANONYMOUS = "default"
"""The tenant of every caller while none is configured."""


def accounts_of(settings: Settings, registry: Registry) -> dict[str, Account]:
    """All accounts by id, the enabled ones first. Raises ConfigError for settings their carriers do not know or miss.

    One that is not enabled gets no new bookings, see `account_facts`. What it has booked must still be looked up,
    cancelled, labelled and followed, and its pushes are taken.
    """
    problems: list[str] = []
    accounts = {}
    for configured in sorted(settings.account, key=lambda account: not account.enabled):
        carrier = registry.carriers.get(configured.carrier)
        if carrier is None:
            broken = next((p.problem for p in registry.plugins if p.name == configured.carrier and p.problem), "")
            problems.append(
                f"account {configured.id}: carrier: {configured.carrier!r} is not loaded"
                + (f" ({broken})" if broken else f"; loaded: {', '.join(registry.carriers) or 'none'}")
                + "; install its plug-in or correct the code (crossdock plugins shows them)"
            )
            continue
        problems += _setting_problems(configured, carrier.manifest)
        accounts[configured.id] = _account(configured, carrier.manifest)
    if problems:
        raise ConfigError(problems)
    return accounts


def stall_rules_of(settings: Settings) -> tuple[StallRule, ...]:
    """What parcels are watched for: the configured rules, else the built-in ones, none when switched off."""
    if not settings.stalls.enabled:
        return ()
    configured = tuple(
        StallRule(
            name=rule.name,
            since=Since(rule.since),
            after_h=rule.after_h,
            statuses=frozenset(None if s == NOTHING_KNOWN else TrackStatus(s) for s in rule.statuses),
            when=rule.when.strip(),
            reason=rule.reason,
        )
        for rule in settings.stall_rule
    )
    return configured or DEFAULT_STALL_RULES


def account_facts(settings: Settings, registry: Registry) -> list[AccountFacts]:
    """What routing knows of the enabled accounts."""
    return [
        AccountFacts(
            account_id=a.id,
            carrier=a.carrier,
            priority=a.priority,
            tariff=tuple(
                Tariff(t.provinces, t.first_weight_g, t.first_price_fen, t.step_weight_g, t.step_price_fen)
                for t in a.tariff
            ),
        )
        for a in settings.account
        if a.enabled and a.carrier in registry.carriers
    ]


def tallies_of(settings: Settings) -> Tallies:
    """What the enabled accounts may take a day."""
    return Tallies([DailyCap(a.id, a.daily_cap, ZoneInfo(a.time_zone)) for a in settings.account if a.enabled])


def failback_of(settings: Settings) -> FailbackRules:
    """How accounts come back after a failure; without time for the steps there are none."""
    step_s = settings.outbound.failback_step_s
    return FailbackRules(step_s=step_s) if step_s else FailbackRules(steps_percent=())


def shares_of(settings: Settings) -> Shares:
    """The enabled accounts' targets."""
    return Shares({a.id: a.share_percent for a in settings.account if a.enabled})


def brownout_of(settings: Settings) -> Brownout:
    """From when on what is given up."""
    given = settings.overload
    return Brownout(
        Thresholds(
            loop_lag_s=given.loop_lag_s,
            door_wait_s=given.door_wait_s,
            store_share=given.store_share,
            open_share=given.open_share,
            calls_share=given.calls_share,
            calm_s=given.calm_s,
        ),
        enabled=given.enabled,
    )


def booking_rules(settings: Settings) -> Rules:
    """How bookings are retried and resolved."""
    given = settings.booking
    return Rules(
        review_after_s=given.review_after_s,
        give_up_after_s=given.give_up_after_s,
        retry_base_s=given.retry_base_s,
        retry_cap_s=given.retry_cap_s,
        unavailable_retry_s=given.unavailable_retry_s,
    )


def codec_of(settings: Settings) -> Codec:
    """How personal data lies in the store."""
    if not settings.store.master_key_file:
        return PlainCodec()
    return AesGcmCodec(read_master_key(Path(settings.store.master_key_file)))


def in_hand_of(settings: Settings) -> InHand:
    """The marks of pushes being handled, beside the store whose lock keeps other engines from them."""
    path = Path(settings.store.path)
    return InHand(path.with_name(f"{path.name}.in-hand"))


class OverloadReport:
    """Tells operations of every change of the brownout level, in the log and in a metric."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def brownout_changed(self, reading: Reading) -> None:
        """See OverloadObserver."""
        self._metrics.brownout_changed(reading)
        logger().warning("brownout", level=int(reading.level), gives_up=reading.level.name, cause=reading.signal)


class ProvingReport:
    """Tells operations of every proving call in a metric, and of one that proved nothing in the log."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def account_asked(self, carrier: str, account_id: str, failure: str) -> None:
        """See ProvingObserver."""
        self._metrics.account_asked(carrier, account_id, failure)
        if failure:
            logger().warning("account not proved", account=account_id, carrier=carrier, why=failure)


def proving_of(
    settings: Settings, registry: Registry, *, store: Store, outbound: Outbound, metrics: Metrics, clock: Clock
) -> Proving:
    """What keeps the enabled accounts proved; bookings and scrapes are connected to it here."""
    carriers = {a.id: a.carrier for a in settings.account if a.enabled and a.carrier in registry.carriers}
    asked = [a for a, code in carriers.items() if can_be_asked(registry.manifests[code])]
    proofs = Proofs(carriers, asked if settings.outbound.prove_accounts else (), clock.now())
    metrics.after_attempt.append(proofs.attempt_ended)
    metrics.before_scrape.append(lambda: metrics.accounts_proved(carriers, proofs.times()))
    return Proving(
        proofs=proofs,
        carriers=carriers,
        store=store,
        outbound=outbound,
        clock=clock,
        observer=ProvingReport(metrics),
    )


def tenants_of(settings: Settings) -> Tenants:
    """Who may call. Without any tenant everybody on loopback is `default`."""
    problems: list[str] = []
    warehouses = {}
    for tenant in settings.tenant:
        if tenant.shipper is not None:
            party, violations = check_party(party_of(tenant.shipper), "shipper")
            problems += [f"tenant {tenant.name}: {v.field}: {v.description}; {v.remedy}" for v in violations]
            warehouses[tenant.name] = party
    if problems:
        raise ConfigError(problems)
    keyless = [t.name for t in settings.tenant if not t.api_key_sha256 and not t.certificate_names]
    anonymous = keyless[0] if keyless else "" if settings.tenant else ANONYMOUS
    return Tenants(
        [
            Tenant(t.name, tuple(digest.lower() for digest in t.api_key_sha256), t.certificate_names)
            for t in settings.tenant
        ],
        warehouses,
        anonymous=anonymous,
    )


def party_of(settings: PartySettings) -> Party:
    """A configured address."""
    return Party(
        Contact(settings.name, settings.phone, settings.company),
        Address(
            settings.country_code,
            settings.province,
            settings.city,
            settings.district,
            "",
            settings.street,
            settings.postal_code,
        ),
    )


def split_listen(listen: str) -> tuple[str, int]:
    """HOST:PORT apart."""
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)


def read_master_key(path: Path) -> bytes:
    """32 bytes from a file of 64 hex digits that nobody else can read. Raises ConfigError."""
    where = "store.master_key_file"
    try:
        if is_open_to_others(path):
            raise ConfigError([f"{where}: {path} can be read by others; run chmod 600 on it"])
        key = bytes.fromhex(path.read_text("ascii").strip())
    except OSError as error:
        raise ConfigError([f"{where}: {path} cannot be read ({error.strerror}); {MAKE_KEY}"]) from error
    except ValueError:
        key = b""
    if len(key) != 32:
        raise ConfigError([f"{where}: {path} must hold 64 hex digits; {MAKE_KEY}"])
    return key


def _setting_problems(configured: AccountSettings, manifest: Manifest) -> list[str]:
    where = f"account {configured.id}"
    known = {s.key: s for s in manifest.setting}
    found = [
        f"{where}: settings.{key}: {manifest.code} has no such setting; known: {', '.join(known)}"
        for key in configured.settings
        if key not in known
    ]
    for setting in manifest.setting:
        value = configured.settings.get(setting.key, setting.default)
        if setting.required and not value:
            how = f"settings.{setting.key}_file" if setting.secret else f"settings.{setting.key}"
            found.append(f"{where}: {how}: is missing ({setting.help})")
        if value and setting.choices and value not in setting.choices:
            found.append(f"{where}: settings.{setting.key}: use one of {', '.join(setting.choices)}")
    return found


def _account(configured: AccountSettings, manifest: Manifest) -> Account:
    values = {s.key: configured.settings.get(s.key, s.default) for s in manifest.setting}
    secret = {s.key for s in manifest.setting if s.secret}
    return Account(
        account_id=configured.id,
        carrier=configured.carrier,
        base_url=configured.base_url or manifest.base_url,
        settings={k: v for k, v in values.items() if k not in secret},
        secrets={k: Secret(v) for k, v in values.items() if k in secret and v},
    )
