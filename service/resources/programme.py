"""A device's programme: desired, reported, and its history.

Nothing here starts a session. The device enforces its limits; these routes may narrow them.
"""

from functools import partial
from typing import Any

import msgspec
from flask import Response
from sqlalchemy.orm import Session

from cymba.accounts.tokens import Caller
from cymba.devices import programme
from cymba.devices.held_devices import held_device
from cymba.devices.messages import Programme
from cymba.devices.programme import ProgrammeRefused, Wanted
from cymba.devices.screening import standing_lock
from cymba.devices.tables import RefusedProgramme
from service.http.answers import tagged
from service.http.bearer import current_account
from service.http.etags import check_preconditions
from service.http.language import spoken
from service.http.openapi import Resource
from service.http.paging import PageQuerySchema, page_by_number
from service.http.problems import title_in
from service.http.services import services
from service.http.transaction import transaction
from service.http.writing import writer
from service.shapes.before_trial import before_trials
from service.shapes.programme_states import derived, version_shown
from service.shapes.programmes import (
    LOCKS,
    ProgrammeChangeSchema,
    ProgrammeStateSchema,
    ProgrammeVersionSchema,
    ProgrammeVersionsSchema,
    RefusedProgrammePageSchema,
    RefusedProgrammeSchema,
    lock_shown,
)

blp = Resource("programme", "What a device is to do: desired, reported, and history")


@blp.get("/v1/devices/<device_id:device_id>/programme")
@blp.answers(200, ProgrammeStateSchema)
@blp.etag
@blp.problems("not-found")
def get_programme(device_id: str) -> Response:
    """Read what is desired of a device, and what it holds

    The ETag is needed to set the next version, also the first one.
    """
    with transaction() as session:
        shown = _state(session, current_account(session), device_id)
    return tagged(shown, version=shown["version"])


@blp.put("/v1/devices/<device_id:device_id>/programme")
@blp.body(ProgrammeChangeSchema)
@blp.answers(200, ProgrammeStateSchema)
@blp.etag
@blp.if_match
@blp.problems(
    "not-found", "no-programme-taken", "limits-widened", "beyond-limits", "expired", *LOCKS
)
def set_programme(given: dict[str, Any], device_id: str) -> Response:
    """Make a programme the desired one: the device's next version

    The device takes it when it is connected, checks it against its own limits, and applies or
    refuses it; it never starts by it. Without valid answers to the contraindication questions, and
    after a red-flag symptom, only a limit of no current (`"limits": {"amplitude_ua": 0}`) is taken.
    What is refused here is kept in the list of refused programmes.
    """
    wanted = Wanted(
        msgspec.convert(given["programme"], Programme), given["limits"], given["expires_at"]
    )
    with transaction() as session:
        account = current_account(session)
        account_id = account.id
        version = programme.programme_state(session, account_id, device_id).version
        check_preconditions(version)
        outcome = programme.set_programme(
            session,
            services().programme_key,
            account_id,
            device_id,
            wanted,
            if_version=version,
            now=services().now(),
        )
        if not isinstance(outcome, ProgrammeRefused):
            shown = _state(session, account, device_id)
    if isinstance(outcome, ProgrammeRefused):
        raise outcome.error
    return tagged(shown, version=shown["version"])


@blp.get("/v1/devices/<device_id:device_id>/programme/history")
@blp.query(PageQuerySchema)
@blp.answers(200, ProgrammeVersionsSchema)
@blp.etag
@blp.problems("not-found")
def list_programme_versions(query: dict[str, Any], device_id: str) -> Response:
    """List the versions that this holder has set, the newest first"""
    with transaction() as session:
        account_id = current_account(session).id
        body = page_by_number(
            query,
            f"programmes|{account_id}|{device_id}",
            read=partial(programme.programme_history, session, account_id, device_id),
            number=lambda row: row.ver,
            show=lambda row: version_shown(row, services().now()),
        )
    return tagged(body)


@blp.get("/v1/devices/<device_id:device_id>/programme/refused")
@blp.query(PageQuerySchema)
@blp.answers(200, RefusedProgrammePageSchema)
@blp.etag
@blp.problems("not-found")
def list_refused_programmes(query: dict[str, Any], device_id: str) -> Response:
    """List the programmes that were asked for and not sent, the newest first"""
    with transaction() as session:
        account_id = current_account(session).id
        body = page_by_number(
            query,
            f"refused|{account_id}|{device_id}",
            read=partial(programme.refused_programmes, session, account_id, device_id),
            number=lambda row: row.id,
            show=_refused_in_words,
        )
    return tagged(body)


_version_shown = writer(ProgrammeVersionSchema)
_state_shown = writer(ProgrammeStateSchema)
_refused_shown = writer(RefusedProgrammeSchema)


def _refused_in_words(row: RefusedProgramme) -> dict[str, Any]:
    return _refused_shown(row, title=title_in(spoken(), row.code))


def _state(session: Session, account: Caller, device_id: str) -> dict[str, Any]:
    now = services().now()
    model = held_device(session, account.id, device_id).model
    state = programme.programme_state(session, account.id, device_id)
    return _state_shown(
        state,
        **derived(state, model, now),
        lock=lock_shown(standing_lock(session, account.id, model, now)),
        before_trial=before_trials(session, account).get(device_id),
    )
