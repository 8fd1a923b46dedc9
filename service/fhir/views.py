"""The routes of `/fhir/R4`."""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Final
from urllib.parse import urlencode

import orjson
from flask import Blueprint, Response, request
from sqlalchemy.orm import Session
from werkzeug.exceptions import MethodNotAllowed, NotAcceptable

from cymba.accounts.app_scopes import Interaction
from cymba.errors import NotFound
from cymba.fhir.parts import Resource
from cymba.fhir.record import Part, RecordOwner
from cymba.fhir.registry import RESOURCE_TYPES
from cymba.fhir.resource_type import Maker, ResourceType
from cymba.fhir.search import ReadUpTo, ResourcePage, ResourceReader, by_ids, legs
from service.fhir import parameters
from service.fhir.capability import statement
from service.fhir.outcomes import MEDIA_TYPE, as_outcome
from service.http.bearer import (
    current_account,
    is_by_share,
    opened_scopes,
    opened_types,
    reader,
)
from service.http.etags import set_etag
from service.http.own_address import FHIR, fhir_address
from service.http.paging import open_cursor, seal_cursor
from service.http.transaction import transaction
from service.http.under_way import under_way

JSON: Final = (MEDIA_TYPE, "application/json", "text/json")
ALL_PARTS: Final = frozenset[Part]({"account", "sessions", "diary", "own"})
View = Callable[..., Response]
METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")

pages = Blueprint("fhir", __name__, url_prefix=FHIR)
pages.after_request(as_outcome)


def _reads(interaction: Interaction) -> Callable[[View], View]:
    """A route that reads some types, behind the checks of every route: the token, the places, the
    form that is wanted."""

    def guard(view: View) -> View:
        @wraps(view)
        def guarded(kind: str = "", **given: Any) -> Response:
            types = [_type_of(kind)] if kind else list(RESOURCE_TYPES.values())
            reader(*_scopes(types), app=([one.name for one in types], interaction))()
            _check_form()
            with under_way():
                return view(types, **given)

        return guarded

    return guard


@pages.get("/metadata")
def show_capabilities() -> Response:
    """What this server can do; needs no token."""
    _check_form()
    parameters.refuse_others(request.args, parameters.OF_FORM | {"mode"})
    return _answer(statement(fhir_address()))


@pages.get("/<kind>")
@_reads("s")
def search_type(types: Sequence[ResourceType]) -> Response:
    with transaction() as session:
        owner, makers = _opened(session, types)
        asked = parameters.read_search(request.args, types[0], owner.account_id)
        reads = ResourceReader(session, owner, makers)
        found = reads.page(asked.search, after=_after(owner), count=asked.at_most)
    return _bundle(owner, found)


@pages.get("/<kind>/<id_>")
@_reads("r")
def read_resource(types: Sequence[ResourceType], id_: str) -> Response:
    parameters.refuse_others(request.args, parameters.OF_FORM)
    with transaction() as session:
        owner, makers = _opened(session, types)
        search = by_ids(frozenset({id_}))
        found = ResourceReader(session, owner, makers).page(search, count=1).resources
    if not found:
        raise NotFound("There is no such resource in this record.")
    return _answer(found[0])


@pages.route("/", methods=METHODS)
@pages.route("/<path:_rest>", methods=METHODS)
def refuse(_rest: str = "") -> Response:
    """What is not there, or not in this way: nothing is written by FHIR."""
    if request.method != "GET":
        raise MethodNotAllowed(["GET"])
    raise NotFound("There is no such resource type or operation here: see `metadata`.")


def _type_of(kind: str) -> ResourceType:
    if kind not in RESOURCE_TYPES:
        raise NotFound("There is no such resource type here: see `metadata`.")
    return RESOURCE_TYPES[kind]


def _scopes(types: Sequence[ResourceType]) -> list[str]:
    """The scopes of which a share needs one. None: every share opens it."""
    parts = {maker.source.part for one in types for maker in one.makers}
    return [] if parts == {"account"} else sorted(parts - {"account"})


def _opened(session: Session, types: Sequence[ResourceType]) -> tuple[RecordOwner, list[Maker]]:
    """Whose record is read, and what of these types may be."""
    account = current_account(session)
    if not is_by_share():
        return RecordOwner(account.id, is_own=True), legs(types, ALL_PARTS)
    owner, let_in = RecordOwner(account.id, is_own=False), opened_types()
    if let_in is not None:
        return owner, legs([one for one in types if one.name in let_in], ALL_PARTS)
    parts: set[Part] = {"account"}
    parts |= {one for one in ("sessions", "diary") if one in opened_scopes()}
    return owner, legs(types, frozenset(parts))


def _after(owner: RecordOwner) -> ReadUpTo | None:
    """Where the page begins that is asked for."""
    cursor = parameters.only(request.args, parameters.CURSOR)
    return None if cursor is None else open_cursor(_scope(owner), cursor, ReadUpTo)


def _scope(owner: RecordOwner) -> str:
    """What a cursor is good for: this search of this record."""
    return f"fhir {owner.account_id} {owner.is_own} {request.path} {_query()}"


def _query() -> str:
    return urlencode(parameters.echoed(request.args))


def _bundle(owner: RecordOwner, found: ResourcePage) -> Response:
    base = fhir_address()
    query = _query()
    here = fhir_address() + request.path.removeprefix(FHIR)
    own = urlencode(list(request.args.items(multi=True)))
    links = [{"relation": "self", "url": f"{here}?{own}" if own else here}]
    if found.next_place is not None:
        cursor = urlencode({parameters.CURSOR: seal_cursor(_scope(owner), found.next_place)})
        links.append({"relation": "next", "url": f"{here}?{query}&{cursor}".replace("?&", "?")})
    entries = [
        {
            "fullUrl": f"{base}/{one['resourceType']}/{one['id']}",
            "resource": one,
            "search": {"mode": "match"},
        }
        for one in found.resources
    ]
    shown: Resource = {"resourceType": "Bundle", "type": "searchset", "link": links}
    return _answer(shown | ({"entry": entries} if entries else {}))


def _answer(shown: Resource) -> Response:
    body = orjson.dumps(shown)
    return set_etag(Response(body, content_type=MEDIA_TYPE), body)


def _check_form() -> None:
    """
    Raises:
        NotAcceptable: another form than JSON is wanted.
    """
    wanted = request.args.get("_format")
    if wanted is not None:
        is_json = wanted.partition(";")[0].replace(" ", "+") in {"json", *JSON}
    else:
        accepted = request.accept_mimetypes
        is_json = not accepted or accepted.best_match(JSON) is not None
    if not is_json:
        raise NotAcceptable
