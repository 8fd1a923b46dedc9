"""Electrode wear over HTTP: from sessions, since the person said that the electrode was changed."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from flask.testing import FlaskClient

from tests.service.conftest import MORNING, ApiUser


@pytest.fixture
def worn_out(wear: Any, hold: Any, person: ApiUser) -> str:
    """A device whose impedance doubles within a week of sessions."""
    device_id: str = hold(person)
    for day, ohm in enumerate([3000, 3100, 2900, 6000, 6200, 6400]):
        worn = wear(person, device_id=device_id, at=MORNING + timedelta(days=day))
        worn.samples(30, amplitude_ua=[2000] * 30, impedance_ohm=[ohm] * 30).end().sum_up()
    return device_id


def test_replace_soon_has_its_reason_and_a_new_electrode_begins_anew(
    client: FlaskClient, person: ApiUser, worn_out: str
) -> None:
    path = f"/v1/devices/{worn_out}/health"
    told = client.get(path, headers=person.headers).json["electrode"]
    assert told == {
        "state": "replace_soon", "reason": "doubled", "changed_at": None, "sessions": 6,
        "first_ohm": 3000, "recent_ohm": 6200, "rise_per_week": None,
    }  # fmt: skip
    feed = client.get("/v1/sync", headers=person.headers).json
    assert feed["devices"][0]["electrode"] == told
    changed_at = (MORNING + timedelta(days=3.5)).isoformat()
    said = {"what": "electrode_changed", "device_id": worn_out, "said_of": changed_at,
            "time_zone": "UTC"}  # fmt: skip
    put = client.put(f"/v1/remarks/{uuid4()}", json=said, headers=person.headers)
    assert put.status_code == 201
    query = {"cursor": feed["next_cursor"]}
    news = client.get("/v1/sync", query_string=query, headers=person.headers).json
    (device,) = news["devices"]
    found = device["electrode"]
    assert (found["state"], found["reason"]) == ("not_known", "too_few_sessions")
    assert (found["sessions"], found["recent_ohm"]) == (2, None)


def test_each_session_with_an_impedance_has_apps_read_the_device(
    client: FlaskClient, person: ApiUser, worn_out: str, wear: Any
) -> None:
    cursor = client.get("/v1/sync", headers=person.headers).json["next_cursor"]
    worn = wear(person, device_id=worn_out, at=MORNING + timedelta(days=8))
    worn.samples(30, amplitude_ua=[2000] * 30, impedance_ohm=[3000] * 30).end().sum_up()
    query = {"cursor": cursor}
    news = client.get("/v1/sync", query_string=query, headers=person.headers).json
    assert [device["electrode"]["sessions"] for device in news["devices"]] == [7]


def test_a_device_that_tells_no_impedance_has_an_unknown_electrode(
    client: FlaskClient, person: ApiUser, wear: Any
) -> None:
    worn = wear(person).samples().end().sum_up()
    path = f"/v1/devices/{worn.device_id}/health"
    told = client.get(path, headers=person.headers).json["electrode"]
    assert (told["state"], told["reason"]) == ("not_known", "no_impedance")
