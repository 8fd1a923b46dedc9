"""A desk's session all the way to what its person sees, through the real API."""

from datetime import timedelta
from pathlib import Path

import httpx
from flask import Flask
from sqlalchemy import Engine, select

from cymba.accounts.tables import Account
from cymba.database import UnitOfWork, utc_now
from cymba.devices.provisioning import provision
from cymba.devices.tables import DeviceTenure
from cymba.settings import Settings
from cymba.stimulation.tables import StimulationSession
from gateway.network.http import HttpUplink
from gateway.store import FrameStore
from tests.gateway.conftest import Scene
from tests.gateway.test_limits import CONFIG, replace
from tests.service.conftest import SECRET_KEY, app_with
from tests.stimulation.worker_steps import summarise_due


def held_by_somebody(engine: Engine) -> tuple[str, str]:
    with UnitOfWork(engine) as session:
        (one,) = provision(session, "neck_band", 1)
        account = Account(email="band@example.org")
        session.add(account)
        session.flush()
        claimed_at = utc_now() - timedelta(days=1)
        session.add(
            DeviceTenure(device_id=one.device_id, account_id=account.id, claimed_at=claimed_at)
        )
        session.commit()
    return one.device_id, one.secret


def test_a_session_by_level_is_shown_with_minutes_and_level_and_no_current(
    play, engine: Engine, tmp_path: Path
) -> None:
    async def acts(scene: Scene) -> None:
        await scene.until_said("Linked")
        await scene.press("s")
        await scene.pass_time(60)
        await scene.press("+")
        await scene.pass_time(30)
        scene.band.break_link()
        await scene.until_said("LINK LOST")
        await scene.pass_time(20)
        scene.band.is_within_reach = True
        await scene.until_said("The link is back")
        await scene.press(" ")

    scene = play(acts)
    device_id, secret = held_by_somebody(engine)
    app: Flask = app_with(Settings(data_dir=tmp_path, secret_key=SECRET_KEY), engine)
    config = replace(CONFIG, device_id=device_id, secret=secret, server="http://cymba")
    uplink = HttpUplink(
        config, FrameStore(tmp_path), scene.boot, transport=httpx.WSGITransport(app)
    )
    while len(scene.store):
        uplink.step_once()
    with UnitOfWork(engine) as session:
        summarise_due(session, now=utc_now())
        session.commit()
        (shown,) = session.scalars(select(StimulationSession)).all()
    assert shown.end_reason == "user_stop"
    assert shown.completeness == 1.0
    assert shown.max_native_level == 2
    assert shown.stimulating_s is not None
    assert 90 <= shown.stimulating_s <= 95  # what was seen of it: no more, and not none
    assert shown.sample_count >= 110
    assert shown.mean_amplitude_ua is shown.max_amplitude_ua is None
    assert shown.delivered_charge_uc is shown.pulses is None
    assert shown.doubts == []
