import re
import tracemalloc
from itertools import product
from pathlib import Path
from string import ascii_uppercase

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, func, select, text
from sqlalchemy.orm import Session

from cymba.database import UnitOfWork
from cymba.devices.broker_rights import admitting_hash, admitting_hashes
from cymba.devices.provisioning import (
    CHANGES,
    CROCKFORD,
    authenticate,
    hash_claim_code,
    hash_secret,
    provision,
    read_code,
    read_serial,
    reissue_claim_code,
    reissue_secret,
    revoke,
    verify_secret,
)
from cymba.devices.tables import Device
from cymba.errors import NotFound, Rejected
from cymba.settings import FIRST_CELL
from tests.devices.conftest import MakeDevice
from tests.end_to_end.parts import PATIENCE_S

# Written by `mosquitto_passwd -b FILE ear-0001 "a secret of some length"` of Mosquitto 2.0.
MOSQUITTO_HASH = Path(__file__).with_name("mosquitto_hash.txt").read_text().strip()


def test_a_device_is_told_its_secrets_once(session: Session, device: MakeDevice) -> None:
    made = device("neck")
    row = session.get_one(Device, made.device_id)
    assert re.fullmatch(r"[A-Za-z0-9_-]{8,32}", made.device_id)
    assert row.serial == made.serial
    assert made.serial.startswith("NK")
    assert len(made.secret) >= 22  # 128 bits as base64
    assert set(made.claim_code) <= set(CROCKFORD + "-")
    assert made.secret not in str(vars(row))
    assert row.claim_code_hash == hash_claim_code(made.device_id, made.claim_code)


def test_an_unknown_model_is_refused_before_anything_is_made(session: Session) -> None:
    with pytest.raises(Rejected, match="ear_clip, ear_cymba, implant, neck"):
        provision(session, "abacus", 5)


def test_memory_does_not_grow_with_the_number(session: Session) -> None:
    provisioned = provision(session, "ear_clip", 3_000)
    for _ in range(500):  # what is loaded once
        next(provisioned)
    tracemalloc.start()
    for _ in range(500):
        next(provisioned)
    _, of_a_batch = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    rest = sum(1 for _ in provisioned)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert rest == 2_000
    assert peak < 2 * of_a_batch  # all at once would take four times that
    assert session.scalars(select(func.count()).select_from(Device)).one() == 3_000


def test_the_secret_lets_in_until_it_is_reissued_or_revoked(
    session: Session, device: MakeDevice
) -> None:
    made = device()
    assert authenticate(session, made.device_id, made.secret)
    assert not authenticate(session, made.device_id, made.secret + "x")
    assert not authenticate(session, "nobody-here", made.secret)
    new = reissue_secret(session, made.device_id)
    assert not authenticate(session, made.device_id, made.secret)
    assert authenticate(session, made.device_id, new)
    revoke(session, made.device_id)
    assert not authenticate(session, made.device_id, new)
    assert authenticate(session, made.device_id, reissue_secret(session, made.device_id))


def test_a_hash_that_let_in_is_known_to_have_ended(session: Session, device: MakeDevice) -> None:
    one, other = device(), device()
    admitted = admitting_hash(session, one.device_id, one.secret, FIRST_CELL)
    assert admitted is not None
    ids = [one.device_id, other.device_id, "nobody-here"]
    assert admitting_hashes(session, ids, FIRST_CELL).keys() == {one.device_id, other.device_id}
    assert admitting_hashes(session, ids, FIRST_CELL)[one.device_id] == admitted
    reissue_secret(session, one.device_id)
    assert admitting_hashes(session, ids, FIRST_CELL)[one.device_id] != admitted
    revoke(session, one.device_id)
    assert admitting_hashes(session, ids, FIRST_CELL).keys() == {other.device_id}


def test_who_listens_is_told_of_changed_secrets_after_the_commit(engine: Engine) -> None:
    with engine.connect() as connection:
        listening = connection.execution_options(isolation_level="AUTOCOMMIT")
        listening.execute(text(f"LISTEN {CHANGES}"))
        line = listening.connection.driver_connection
        assert line is not None
        with UnitOfWork(engine) as session:
            (made,) = provision(session, "ear_clip", 1)
            assert list(line.notifies(timeout=0.2)) == []
            session.commit()
            assert len(list(line.notifies(timeout=PATIENCE_S, stop_after=1))) == 1
            for change in (reissue_secret, revoke):
                change(session, made.device_id)
                session.commit()
                assert len(list(line.notifies(timeout=PATIENCE_S, stop_after=1))) == 1


@pytest.mark.parametrize("change", [reissue_secret, revoke, reissue_claim_code])
def test_there_must_be_such_a_device(session: Session, change: object) -> None:
    with pytest.raises(NotFound):
        change(session, "nobody-here")  # type: ignore[operator]


def test_a_hash_of_mosquittos_own_is_verified() -> None:
    stored = MOSQUITTO_HASH.split(":")[1]
    assert verify_secret(stored, "a secret of some length")
    assert not verify_secret(stored, "a secret of some lengths")


def test_a_hash_has_mosquittos_form() -> None:
    form = re.compile(r"\$7\$101\$[A-Za-z0-9+/]{16}\$[A-Za-z0-9+/]{86}==")
    assert form.fullmatch(hash_secret("secret"))
    assert form.fullmatch(MOSQUITTO_HASH.split(":")[1])


@given(st.text(), st.text())
def test_no_stored_text_and_no_secret_raises(stored: str, secret: str) -> None:
    assert not verify_secret(stored, secret)


@pytest.mark.parametrize(
    "stored",
    [None, "", "$7$$$", "$7$0$AAAA$AAAA", "$7$99999999999999999999$AAAA$AAAA", "$6$101$AAAA$AAAA"],
)
def test_a_broken_hash_lets_nobody_in(stored: str | None) -> None:
    assert not verify_secret(stored, "secret")


def test_a_code_is_read_as_it_was_meant() -> None:
    assert read_code(" ab-cO1 il\u00a0\x00☃") == "ABC0111"


def test_the_letters_of_a_model_stay_in_its_serial() -> None:
    for letters in map("".join, product(ascii_uppercase, repeat=2)):
        assert read_serial(f" {letters.lower()}-o1 l5") == f"{letters}0115"
