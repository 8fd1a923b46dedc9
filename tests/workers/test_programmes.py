from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Engine, select

from cymba.database import UnitOfWork, utc_now
from cymba.devices.messages import ReportedState
from cymba.devices.programme import record_report
from cymba.devices.provisioning import provision
from cymba.devices.publication import as_message
from cymba.devices.signing import verify
from cymba.devices.tables import DeviceProgramme
from cymba.settings import SettingsError
from workers.programmes import ProgrammeAnswers

KEY = Ed25519PrivateKey.generate()


def without_key() -> Ed25519PrivateKey:
    raise SettingsError("there is no key")


def test_who_speaks_of_an_unknown_version_is_answered_once_there_is_a_key(engine: Engine) -> None:
    with UnitOfWork(engine) as session, session.begin():
        silent, spoken = (one.device_id for one in provision(session, "ear_cymba", 2))
    assert ProgrammeAnswers(engine, without_key).run_once() == []
    with UnitOfWork(engine) as session, session.begin():
        record_report(session, spoken, ReportedState(ver=3, applied=True), utc_now())
    assert ProgrammeAnswers(engine, without_key).run_once() == [spoken]
    answers = ProgrammeAnswers(engine, lambda: KEY)
    for _ in range(2):
        assert answers.run_once() == []
    with UnitOfWork(engine) as session:
        (row,) = session.scalars(select(DeviceProgramme))
        assert (row.device_id, row.published_at) == (spoken, None)
        assert verify(KEY.public_key(), spoken, as_message(row))
    assert silent != spoken
