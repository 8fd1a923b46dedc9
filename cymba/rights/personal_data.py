"""Personal data: every table that holds some, and how an account's rows are found.

Export, import and erasure use this one list. A test fails for a table that is neither here nor in
`NOT_PERSONAL`, so that no new table is forgotten.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import UUID

from sqlalchemy import ColumnElement, Table, and_, exists, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute

from cymba.accounts import addresses
from cymba.accounts import app_tables as apps
from cymba.accounts import tables as accounts
from cymba.database import Base, utc_now
from cymba.devices import tables as devices
from cymba.diary import tables as diary
from cymba.imports import tables as imports
from cymba.insights import tables as insights
from cymba.stimulation import tables as stimulation
from cymba.stimulation.written import tables as written
from cymba.sync import tables as sync

Whose = Callable[[UUID], ColumnElement[bool]]
_Column = ColumnElement[Any] | InstrumentedAttribute[Any]


@dataclass(frozen=True, slots=True)
class Withheld:
    """A column that the export shows as null in rows for which `when` holds."""

    when: ColumnElement[bool]
    why: str


@dataclass(frozen=True, slots=True)
class PersonalTable:
    """A table with rows about a person.

    `whose` gives the condition that a row is about an account; it may name other tables, which a
    SELECT then joins and a DELETE uses.
    """

    table: Table
    about: str
    whose: Whose
    left_out: Mapping[str, str] = field(default_factory=dict)  # column -> why no export shows it
    withheld: Mapping[str, Withheld] = field(default_factory=dict)
    # Changes a row of the archive in place, at an import.
    arrives: Callable[[dict[str, Any]], None] = lambda _: None
    # Columns that get new values at an import.
    drawn_anew: Mapping[str, Callable[[], Any]] = field(default_factory=dict)
    imported: bool = True  # else it is in the export for reading only
    erased: bool = True  # else `erasure` handles it in its own way
    rows_at_once: int = 500

    @property
    def name(self) -> str:
        return str(self.table.name)


_WHY_NO_HASH = "a secret's hash: it would let others try to find the secret"
_WHY_NO_FLOW = "who has it could finish what the person began"
_HELD = devices.DeviceTenure
_SESSION = stimulation.StimulationSession
_EXTENT = stimulation.SessionExtent


def _table(model: type[Base]) -> Table:
    return cast(Table, model.__table__)


def _of_account(model: type[Base]) -> Whose:
    column = _table(model).c.account_id
    return lambda account_id: column == account_id


def _of_shares(model: type[Base]) -> Whose:
    share_id, share = _table(model).c.share_id, accounts.Share
    return lambda account_id: share_id.in_(select(share.id).where(share.account_id == account_id))


def ever_held(device_id: _Column) -> Whose:
    """Of devices that the account holds or held."""
    return lambda account_id: device_id.in_(
        select(_HELD.device_id).where(_HELD.account_id == account_id)
    )


def last_held(device_id: _Column) -> Whose:
    """Of devices that nobody has held after the account."""
    own, later = _table(_HELD).alias("own"), _table(_HELD).alias("later")
    after = exists().where(
        later.c.device_id == own.c.device_id, later.c.claimed_at > own.c.claimed_at
    )
    return lambda account_id: device_id.in_(
        select(own.c.device_id).where(own.c.account_id == account_id, ~after)
    )


def in_tenure(device_id: _Column, at: _Column) -> Whose:
    """At a time when the account held the device."""
    return lambda account_id: exists().where(
        _HELD.account_id == account_id,
        _HELD.device_id == device_id,
        _HELD.claimed_at <= at,
        or_(_HELD.released_at.is_(None), at < _HELD.released_at),
    )


def _of_sessions(model: type[Base]) -> Whose:
    """Rows of the account's sessions, by device and `sid`."""
    table = _table(model)
    return lambda account_id: and_(
        _SESSION.account_id == account_id,
        _SESSION.device_id == table.c.device_id,
        _SESSION.sid == table.c.sid,
    )


def _frames(account_id: UUID) -> ColumnElement[bool]:
    frame = stimulation.StoredFrame
    return and_(
        _of_sessions(_EXTENT)(account_id),
        frame.device_id == _EXTENT.device_id,
        frame.store == _EXTENT.store,
        frame.seq.between(_EXTENT.low_seq, _EXTENT.high_seq),
        frame.sid == _EXTENT.sid,
    )


def _anchors(account_id: UUID) -> ColumnElement[bool]:
    """Recorded in the account's tenure, or of a boot in which one of its sessions ran."""
    anchor = devices.ClockAnchor
    of_session = exists().where(
        _of_sessions(_EXTENT)(account_id),
        _EXTENT.device_id == anchor.device_id,
        _EXTENT.store == anchor.store,
        anchor.boot.between(_EXTENT.low_boot, _EXTENT.high_boot),
    )
    return or_(in_tenure(anchor.device_id, anchor.wall_at)(account_id), of_session)


def _blocks(account_id: UUID) -> ColumnElement[bool]:
    trial = insights.Experiment
    return and_(trial.account_id == account_id, trial.id == insights.ExperimentBlock.experiment_id)


def _mails(account_id: UUID) -> ColumnElement[bool]:
    account = accounts.Account
    address = select(func.lower(account.email)).where(account.id == account_id).scalar_subquery()
    return mails_of(account_id, address)


def mails_of(account_id: UUID, address: ColumnElement[str]) -> ColumnElement[bool]:
    """Mails to the account, and those that name none but went to its `address`, in lower case."""
    mail = accounts.OutgoingMail
    return or_(mail.account_id == account_id, func.lower(mail.recipient) == address)


def _token_hash() -> str:
    return "\\x" + secrets.token_hex(32)


def _account_arrives(row: dict[str, Any]) -> None:
    """Its role and its address are not proven here."""
    key = addresses.key(str(row.get("email")))
    row |= {"role": "person", "email_key": key, "email_verified_at": None}


def _audit_entry_arrives(row: dict[str, Any]) -> None:
    """The time is that of the import; the archive's own time is only a claim."""
    at = row.pop("at", None)
    row["claimed_at"] = row.get("claimed_at") or at


def _trial_arrives(row: dict[str, Any]) -> None:
    """Stop a running trial: without its seed, its blocks are unknown here."""
    if row.get("status") == "running":
        row |= {
            "status": "stopped",
            "stop_reason": "Moved to another Cymba while it ran",
            "seed": "\\x",
            "ended_at": utc_now().isoformat(),
        }


def _import_arrives(row: dict[str, Any]) -> None:
    """The file of one that was not finished stays behind."""
    if row.get("state") not in {"stored", "undone", "failed"}:
        row |= {"state": "failed", "failure": "gave-up"}


def _account_table(model: type[Base], about: str, **more: Any) -> PersonalTable:
    return PersonalTable(_table(model), about, _of_account(model), **more)


# In the order in which an import writes them, but for the change feed, which comes last. Erasure
# uses the reverse order.
PERSONAL_TABLES: tuple[PersonalTable, ...] = (
    PersonalTable(
        _table(accounts.Account),
        "the account itself",
        lambda account_id: accounts.Account.id == account_id,
        left_out={"password_hash": _WHY_NO_HASH},
        arrives=_account_arrives,
    ),
    # An import enters the address as a new account does.
    _account_table(accounts.AccountAddress, "the e-mail address that finds it", imported=False),
    _account_table(accounts.ProviderIdentity, "sign-ins at other providers"),
    _account_table(
        accounts.OidcFlow,
        "sign-ins at other providers that were begun",
        left_out=dict.fromkeys(("state_hash", "nonce", "code_verifier"), _WHY_NO_FLOW),
        imported=False,
    ),
    _account_table(
        accounts.RefreshToken,
        "where the person is signed in",
        left_out={"token_hash": _WHY_NO_HASH},
        imported=False,
    ),
    _account_table(
        accounts.SingleUseToken,
        "links that were sent by mail",
        left_out={"token_hash": _WHY_NO_HASH},
        imported=False,
    ),
    _account_table(
        accounts.KeptAnswer,
        "answers that are kept for a day, for requests that are sent again",
        left_out=dict.fromkeys(
            ("key_hash", "request_hash", "answer"),
            "sealed: what it says is in what the request made, but for secrets shown once",
        ),
        imported=False,
    ),
    PersonalTable(
        _table(accounts.OutgoingMail),
        "mails to the person",
        _mails,
        left_out={"body": "it may hold a link that is still good"},
        imported=False,
    ),
    _account_table(accounts.Consent, "what the person agreed to"),
    _account_table(
        accounts.Share,
        "looks that the person gave to others",
        left_out={"token_hash": _WHY_NO_HASH},
        # The share is listed as before, and its link opens nothing here.
        drawn_anew={"token_hash": _token_hash},
    ),
    PersonalTable(
        _table(apps.AppGrant),
        "which apps of others hold a look, and what they read",
        _of_shares(apps.AppGrant),
        left_out=dict.fromkeys(("code_hash", "code_challenge"), _WHY_NO_HASH),
        imported=False,
    ),
    _account_table(accounts.ShareHolder, "looks of others that the person keeps", imported=False),
    _account_table(accounts.AuditEntry, "who saw or changed what", arrives=_audit_entry_arrives),
    _account_table(accounts.Change, "the order of changes that apps follow"),
    _account_table(sync.SyncOperation, "what apps did offline, by its ids"),
    _account_table(sync.SyncHorizon, "how far back apps can follow"),
    PersonalTable(
        _table(devices.Device),
        "devices that the person holds or held",
        ever_held(devices.Device.__table__.c.id),
        left_out={"secret_hash": _WHY_NO_HASH, "claim_code_hash": _WHY_NO_HASH},
        erased=False,  # hardware in the inventory; the tenure, which names its holder, is erased
    ),
    _account_table(devices.DeviceTenure, "when the person held which device", erased=False),
    PersonalTable(
        _table(devices.DevicePresence),
        "what devices last said of themselves",
        last_held(devices.DevicePresence.__table__.c.device_id),
    ),
    PersonalTable(
        _table(devices.ClockAnchor),
        "what the devices' clocks were known by",
        _anchors,
        erased=False,  # except those that place frames of the person's time that may still arrive
    ),
    _account_table(devices.DeviceProgramme, "programmes that were set", erased=False),
    _account_table(devices.RefusedProgramme, "programmes that were refused"),
    _account_table(devices.Screening, "answers about contraindications"),
    _account_table(devices.RedFlag, "side effects that locked programmes"),
    PersonalTable(
        _table(stimulation.AckLedgerRow),
        "which frames of the devices are here",
        last_held(stimulation.AckLedgerRow.__table__.c.device_id),
        erased=False,  # only numbers, so that a device which resends a frame gets its ack
    ),
    _account_table(stimulation.StimulationSession, "sessions"),
    PersonalTable(_table(_EXTENT), "where the sessions' frames lie", _of_sessions(_EXTENT)),
    PersonalTable(
        _table(stimulation.StoredFrame),
        "frames of sessions that are not compacted yet",
        _frames,
        rows_at_once=100,
    ),
    PersonalTable(
        _table(stimulation.Recording),
        "compacted sessions, as Cymba stores them",
        _of_sessions(stimulation.Recording),
        rows_at_once=20,
    ),
    PersonalTable(
        _table(stimulation.QuarantinedFrame),
        "frames that could not be read",
        in_tenure(
            stimulation.QuarantinedFrame.__table__.c.device_id,
            stimulation.QuarantinedFrame.__table__.c.received_at,
        ),
        rows_at_once=20,
    ),
    _account_table(written.WrittenSession, "sessions that a phone or the person wrote down"),
    _account_table(written.Remark, "what the person said of devices and days"),
    _account_table(
        diary.DiaryEntry,
        "the diary",
        left_out={"ratings": "the numbers among `items` once more, of which they are made anew"},
    ),
    _account_table(diary.Reminder, "reminders"),
    _account_table(imports.DataImport, "what was brought from other apps", arrives=_import_arrives),
    _account_table(
        imports.ImportPiece,
        "files from other apps that are not stored yet",
        left_out={"data": "the person has the file; it goes once it is stored or undone"},
        imported=False,
    ),
    _account_table(imports.ImportedReading, "readings from other apps"),
    _account_table(insights.InsightState, "what insights were computed from"),
    _account_table(insights.Finding, "insights"),
    _account_table(
        insights.Experiment,
        "trials of the person's own",
        withheld={
            "seed": Withheld(
                insights.Experiment.__table__.c.status == "running",
                "while a trial runs, because it shows the coming blocks, which nobody is to know "
                "before their time; it is shown once the trial has ended, and `seal` proves it",
            )
        },
        arrives=_trial_arrives,
    ),
    PersonalTable(_table(insights.ExperimentBlock), "what the person agreed to in trials", _blocks),
)

BY_NAME = {holding.name: holding for holding in PERSONAL_TABLES}

NOT_PERSONAL: dict[str, str] = {
    "app_client": "apps of others that an operator has registered",
    "cell": "brokers, by an operator's name",
    "cell_move": "devices that are to come to another broker",
    "device_model": "kinds of device; the name in it is an operator's",
    "account_id_used": "hashes of ids that were used, which only who has the id can test",
    "rate_limit": "hashes of whose guesses are counted, leaking away; erased all the same",
    "sign_in_bucket": "what the version before counts in, as `rate_limit`",
    "claim_guesses": "what the version before counts in, as `rate_limit`",
    "erasure_ledger": "pseudonyms of the erased, which only the secret's holder can test",
    "erasure_receipt": "what the erased were told, which only who has its token can find",
    "retiming": "devices whose clocks moved, and how long they rest for that",
    "session_sums": "what a running session's figures are made of: they go with its row",
    "retained_withdrawal": "devices whose retained messages are to be withdrawn",
    "unknown_version": "devices that reported a programme version that was never set",
    "restoration": "when backups were restored",
    "device_suspension": "devices that flood the broker, for ten minutes each",
    "sync_epoch": "one number for the whole database",
}
"""Tables that hold nothing about a person, or nothing that could be shown to one."""
