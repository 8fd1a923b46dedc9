"""A desk's session all the way to what its person sees, through the real API."""

from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from flask import Flask
from sqlalchemy import Engine, select

from cymba.accounts.tables import Account
from cymba.accounts.tokens import sign_in
from cymba.database import UnitOfWork, utc_now
from cymba.devices.issuing import issue
from cymba.devices.models import usual_programme
from cymba.devices.provisioning import provision
from cymba.devices.signing import show_public_key
from cymba.devices.tables import Device, DeviceProgramme, DeviceTenure
from cymba.settings import Settings
from cymba.stimulation.tables import StimulationSession
from gateway.limits import allowance
from gateway.network import http
from gateway.network.http import HttpUplink
from gateway.store import FrameStore
from service.http.services import Services
from tests.gateway.conftest import Play, Scene
from tests.gateway.test_limits import CONFIG, replace
from tests.service.bodies import FAINTED
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


def flag_red(app: Flask, engine: Engine) -> None:
    """As their person's app does."""
    with UnitOfWork(engine) as session, session.begin():
        account_id = session.scalars(select(Account.id)).one()
        pair = sign_in(session, Services.of(app).signer, account_id, utc_now())
    written = app.test_client().put(
        f"/v1/diary/{uuid4()}",
        json=FAINTED,
        headers={"Authorization": f"Bearer {pair.access_token}"},
    )
    assert written.status_code == 201


def narrow(app: Flask, engine: Engine, device_id: str, **limits: float) -> None:
    """As if their person had done so, after screening."""
    with UnitOfWork(engine) as session, session.begin():
        device = session.get_one(Device, device_id)
        account_id = session.scalars(select(DeviceTenure.account_id)).one()
        wanted = (usual_programme(CONFIG.model), limits, None)
        key = Services.of(app).programme_key
        issue(session, key, device, wanted, account_id=account_id, set_by="person", now=utc_now())


@pytest.mark.usefixtures("versions_from_one")
def test_over_http_a_red_flag_allows_no_start_and_narrower_limits_hold_offline(
    play: Play, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "LOOKS_EVERY_S", 0)
    monkeypatch.setattr(http, "ASKS_EVERY_S", 0)
    device_id, secret = held_by_somebody(engine)
    app: Flask = app_with(Settings(data_dir=tmp_path, secret_key=SECRET_KEY), engine)
    public_key = show_public_key(Services.of(app).programme_key)
    config = replace(
        CONFIG, device_id=device_id, secret=secret, server="http://cymba",
        programme_key=public_key,
    )  # fmt: skip

    async def acts(scene: Scene) -> None:
        scene.desk._allowance = lambda: allowance(config, scene.store, 9, scene.boot.utc_ms())
        transport = httpx.WSGITransport(app)
        uplink = HttpUplink(config, FrameStore(tmp_path), scene.boot, transport=transport)
        await scene.until_said("Linked")
        narrow(app, engine, device_id, native_level=2)
        uplink.step_once()
        await scene.press("s++++")
        assert scene.band.level == 2
        await scene.press(" ")
        flag_red(app, engine)
        uplink.step_once()
        uplink.shut()
        await scene.press("s+")
        assert scene.band.level == 0

    async def acts_offline(scene: Scene) -> None:
        scene.desk._allowance = lambda: allowance(config, scene.store, 9, scene.boot.utc_ms())
        await scene.until_said("Linked")
        await scene.press("s+")

    online = play(acts)
    written = list(online.commands)
    offline = play(acts_offline)
    for scene in (online, offline):
        assert any("your limits allow no stimulation" in line for line in scene.said)
    assert offline.commands == written
    with UnitOfWork(engine) as session:
        reported = session.execute(
            select(DeviceProgramme.set_by, DeviceProgramme.applied).order_by(DeviceProgramme.ver)
        ).all()
    assert reported == [("person", True), ("red_flag", True)]


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
