"""`Idempotency-Key`: a request that makes something can be sent again after a lost answer.

The one place that knows of it. The route kit runs a marked view by `once`, which opens the
transaction that all of the view's `transaction()` blocks are parts of (savepoints). It keeps the
answer in there and commits, so that work and answer are stored together or not at all.

A problem is not kept: what it left undone can be tried again under the same key. What a block has
kept although the view then raised (a counted guess) is committed, as without a key.
"""

import re
from collections.abc import Callable
from typing import Final

import orjson
from flask import Response, g, request
from sqlalchemy.orm import Session

from cymba.accounts import kept_answers, quotas, tokens
from cymba.accounts.kept_answers import Kept
from cymba.accounts.written_fields import plain
from cymba.errors import DomainError, Rejected
from service.http.bearer import current_access, current_account
from service.http.charges import charge, take_charges
from service.http.json_bodies import MAX_DEPTH, read_json, whole_body
from service.http.services import services

HEADER: Final = "Idempotency-Key"
# As a structured field it comes in quotes; many clients send it bare. So short a key as 1 or abc
# would be met again by chance.
_KEY = re.compile(r'"?([A-Za-z0-9._~:+/=-]{16,128})"?')
_HEADERS: Final = ("Content-Type", "ETag", "Cache-Control")
PARAMETER: Final = {
    "in": "header",
    "name": HEADER,
    "description": "A key that the app draws for this request, such as a UUID: 16 to 128 letters, "
    "digits or `._~:+/=-`. Sent again with the same key within 24 hours, the request makes nothing "
    "new and gets its first answer, byte for byte. A problem is not kept. Keys are of one account.",
    "required": False,
    "schema": {"type": "string", "pattern": f"^{_KEY.pattern}$"},
    "example": "7c6d5e4f-3a2b-4190-8f7e-6d5c4b3a2910",
}


def once(view: Callable[[], Response]) -> Response:
    """The view's answer, or the one that it gave to the same request before.

    Raises:
        Conflict: `request-under-way`. Rejected: `key-reused`.
    """
    given = request.headers.get(HEADER)
    if given is None:
        return view()
    name = _read(given)
    key, now = services().kept_answers_key, services().now()
    with services().sessions.begin() as session:
        account = current_account(session)
        at = kept_answers.slot(key, account.id, name, _request_text())
        kept = kept_answers.find(session, key, at, now=now)
        outcome = _parts_of(session, view) if kept is None else _read_answer(kept.answer)
        if kept is not None and kept.needs_proof:
            tokens.require_proof(session, current_access(), now)
        elif kept is None and isinstance(outcome, Response):
            answer = _written(outcome)
            kept_answers.keep(session, key, at, Kept(answer, "proof_needed" in g), now=now)
            charge(quotas.written(account.id, len(answer)))
        take_charges(session)
    if isinstance(outcome, DomainError):
        raise outcome
    return outcome


def _parts_of(session: Session, view: Callable[[], Response]) -> Response | DomainError:
    g.unit_of_work = session
    try:
        return view()
    except DomainError as error:
        g.pop("charges", None)  # of what was not done
        return error
    finally:
        del g.unit_of_work


def _read(given: str) -> str:
    match = _KEY.fullmatch(given)
    if match is None:
        detail = "must be 16 to 128 letters, digits or ._~:+/=-"
        raise Rejected(
            "The Idempotency-Key is none.",
            code="validation",
            errors=[{"parameter": HEADER, "detail": detail}],
        )
    return match[1]


def _request_text() -> bytes:
    """What is asked for; the same for one body of JSON in every order of its members."""
    body = whole_body(request)
    if body and request.is_json:
        value = plain(read_json(body), depth=MAX_DEPTH + 1)
        body = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return b"\n".join([request.method.encode(), request.path.encode(), body])


def _written(response: Response) -> bytes:
    headers = {name: response.headers[name] for name in _HEADERS if name in response.headers}
    if "language" in g:
        headers["Content-Language"] = g.language  # it is named once the answer leaves
    return orjson.dumps([response.status_code, headers]) + b"\n" + response.get_data()


def _read_answer(kept: bytes) -> Response:
    head, _, body = kept.partition(b"\n")
    status, headers = orjson.loads(head)
    response = Response(body, status=status)
    del response.headers["Content-Type"]
    response.headers.update(headers)
    return response
