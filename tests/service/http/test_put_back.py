"""What `GET` gave can be `PUT`, and what a change answers is what the next `GET` has.

The routes come from the document. One that is added is tried too: a path that nobody made an
example for here fails.
"""

from uuid import uuid4

import pytest

from cymba.devices.contraindications import EDITION, must_be_answered
from cymba.devices.models import MODELS
from tests.service.conftest import PROGRAMME

EDITED = {
    "/v1/diary/{entry_id}": {"note": "another"},
    "/v1/reminders/{reminder_id}": {"title": "another"},
    "/v1/remarks/{remark_id}": {"note": "another"},
    "/v1/sessions/{session_id}": {"note": "another"},
    "/v1/devices/{device_id}/programme": {"expires_at": "2099-01-01T00:00:00.000000Z"},
}
PATCHED = {
    "/v1/account": {"name": "Ada"},
    "/v1/devices/{device_id}": {"name": "My ear"},
    "/v1/sessions/{session_id}": {"note": "another"},
}


def paths_with(document, method: str) -> set[str]:
    items = document.api["paths"].items()
    return {path for path, item in items if "get" in item and method in item}


@pytest.fixture
def make(client, person, hold, document):
    """Makes what a path names, and gives the path to it."""

    def one(path: str) -> str:
        if "{device_id}" in path:
            path = path.replace("{device_id}", hold(person))
        if path.endswith("/programme"):
            ear = MODELS["ear_cymba"]
            answers = {question.name: "no" for question in must_be_answered(ear.sites)}
            body = {"model": ear.name, "text_version": f"{EDITION}/en", "answers": answers}
            headers = person.headers | {"If-Match": f'"{EDITION}"'}
            answered = client.put("/v1/screening/answers", json=body, headers=headers)
            assert answered.status_code == 200
            body = {
                "programme": PROGRAMME | {"ramp_ua_per_s": 500},
                "limits": {"amplitude_ua": 4000},
            }
            tag = client.get(path, headers=person.headers).headers["ETag"]
            headers = person.headers | {"If-Match": tag}
            assert client.put(path, json=body, headers=headers).status_code == 200
        elif "{" in path:
            template, path = path, path.partition("{")[0] + str(uuid4())
            body = document.api["paths"][template]["put"]["requestBody"]
            example = body["content"]["application/json"]["example"]
            assert client.put(path, json=example, headers=person.headers).status_code == 201
        return path

    return one


def changed(client, person, path, body, method="PUT"):
    headers = person.headers | {
        "If-Match": client.get(path, headers=person.headers).headers["ETag"]
    }
    answer = client.open(path, method=method, json=body, headers=headers)
    assert answer.status_code == 200, answer.json
    return answer


def content(shown: dict) -> dict:
    """What a person sees of it; each setting of a programme is a version of its own."""
    told = {name: held for name, held in shown.items() if name not in {"version", "changed_at"}}
    if "desired" in told:
        told["desired"] = {name: told["desired"][name] for name in ("programme", "expires_at")}
    return told


def test_these_are_all(document):
    assert paths_with(document, "put") == EDITED.keys()
    assert paths_with(document, "patch") == PATCHED.keys()


@pytest.mark.parametrize("path", EDITED)
def test_what_was_read_can_be_written_back(client, person, make, path):
    path = make(path)
    read = client.get(path, headers=person.headers).json
    assert content(changed(client, person, path, read).json) == content(read)


@pytest.mark.parametrize("path", EDITED)
def test_an_edit_of_what_was_read_is_kept(client, person, make, path):
    edit = EDITED[path]
    path = make(path)
    read = client.get(path, headers=person.headers).json
    made = dict.fromkeys(read.keys() & {"id", "version", "changed_at"})
    shown = changed(client, person, path, read | made | edit).json
    assert edit.items() <= (shown.get("desired") or shown).items()


@pytest.mark.parametrize("path", EDITED)
def test_what_nobody_makes_is_refused_as_before(client, person, make, path):
    path = make(path)
    read = client.get(path, headers=person.headers)
    headers = person.headers | {"If-Match": read.headers["ETag"]}
    refused = client.put(path, json=read.json | {"nonsense": 1}, headers=headers)
    assert refused.status_code == 422
    assert [error["pointer"] for error in refused.json["errors"]] == ["/nonsense"]


@pytest.mark.parametrize(
    ("path", "method"), [*((p, "PUT") for p in EDITED), *((p, "PATCH") for p in PATCHED)]
)
def test_the_first_conditional_read_after_a_change_hits(client, person, make, path, method):
    edit = EDITED[path] if method == "PUT" else PATCHED[path]
    path = make(path)
    read = client.get(path, headers=person.headers).json if method == "PUT" else {}
    tag = changed(client, person, path, read | edit, method).headers["ETag"]
    again = client.get(path, headers=person.headers | {"If-None-Match": tag})
    assert again.status_code == 304


def test_answers_in_another_order_than_the_databases_have_the_same_tag(client, person):
    ear = MODELS["ear_cymba"]
    answers = {question.name: "no" for question in reversed(must_be_answered(ear.sites))}
    body = {"model": ear.name, "text_version": f"{EDITION}/en", "answers": answers}
    headers = person.headers | {"If-Match": f'"{EDITION}"'}
    tag = client.put("/v1/screening/answers", json=body, headers=headers).headers["ETag"]
    headers = person.headers | {"If-None-Match": tag}
    assert client.get("/v1/screening", headers=headers).status_code == 304


def test_what_another_witness_tells_is_not_made_the_persons_own(client, person):
    """A session that was timed and then rated: its side is known from the second alone."""
    timed = {
        "recorder": "phone", "model": "ear_clip", "started_at": "2026-03-01T12:00:00.000000Z",
        "time_zone": "UTC", "duration_s": 1800,
    }  # fmt: skip
    by_hand = timed | {"recorder": "person", "side": "left"}
    ids = [str(uuid4()), str(uuid4())]
    for id_, body in zip(ids, (timed, by_hand), strict=True):
        path = f"/v1/sessions/{id_}"
        assert client.put(path, json=body, headers=person.headers).status_code == 201
    path = f"/v1/sessions/{ids[0]}"
    read = client.get(path, headers=person.headers).json
    assert (read["side"], read["told_by"]["side"]) == ("left", "person")
    shown = changed(client, person, path, read | {"note": "timed"}).json
    assert (shown["written"]["side"], shown["written"]["note"]) == (None, "timed")
