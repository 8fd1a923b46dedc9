"""The routes of `/fhir/R4`."""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

import orjson
from flask import Blueprint, Response, request
from sqlalchemy.orm import Session
from werkzeug.exceptions import MethodNotAllowed, NotAcceptable

from cymba.accounts.app_scopes import Interaction
from cymba.accounts.tokens import Caller
from cymba.errors import NotFound
from cymba.fhir.parts import Resource
from cymba.fhir.record import ALL_PARTS, Part, RecordOwner
from cymba.fhir.registry import RESOURCE_TYPES
from cymba.fhir.resource_type import ResourceType
from cymba.fhir.sampled import is_sampled
from cymba.fhir.search import ReadUpTo, ResourcePage, ResourceReader, Search, by_ids, legs
from service.fhir import parameters
from service.fhir.capability import statement
from service.fhir.outcomes import MEDIA_TYPE, NotSearchable, as_outcome
from service.http.bearer import (
    current_account,
    hold_reading,
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
        opened = _opened(session)
        asked = parameters.read_search(request.args, types[0], opened.owner.account_id)
        found = opened.read(session, types, asked.search, asked.at_most)
    return _bundle(opened.owner, found)


@pages.get("/<kind>/<id_>")
@_reads("r")
def read_resource(types: Sequence[ResourceType], id_: str) -> Response:
    parameters.refuse_others(request.args, parameters.OF_FORM)
    with transaction() as session:
        found = _opened(session).read(session, types, by_ids(frozenset({id_})), 1).resources
    if not found:
        raise NotFound("There is no such resource in this record.")
    return _answer(found[0])


@pages.get("/Patient/<id_>/$everything")
@_reads("s")
def read_everything(types: Sequence[ResourceType], id_: str) -> Response:
    """The whole record, page after page; but for readings, which are read one channel at a time."""
    with transaction() as session:
        opened = _opened(session)
        asked = parameters.read_everything(request.args)
        is_theirs = id_ == str(opened.owner.account_id)
        wanted = [one for one in types if is_theirs and asked.is_wanted(one)]
        found = opened.read(session, wanted, asked.search, asked.at_most)
    if not is_theirs:
        raise NotFound("There is no such resource in this record.")
    return _bundle(opened.owner, found)


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


class OpenedRecord(NamedTuple):
    """Whose record is read, and which parts and types of it may be (None: all types)."""

    account: Caller
    owner: RecordOwner
    parts: frozenset[Part]
    names: frozenset[str] | None

    def read(
        self, session: Session, types: Sequence[ResourceType], search: Search, at_most: int
    ) -> ResourcePage:
        readings = sum(is_sampled(id_) for id_ in search.ids or ())
        if readings > 1:
            raise NotSearchable("Readings are given for one id at a time.", parameter="_id")
        if readings:
            hold_reading(self.account)
        cursor = parameters.only(request.args, parameters.CURSOR)
        after = None if cursor is None else open_cursor(_scope(self.owner), cursor, ReadUpTo)
        let_in = [one for one in types if self.names is None or one.name in self.names]
        reads = ResourceReader(session, self.owner, legs(let_in, self.parts))
        return reads.page(search, after=after, count=at_most)


def _opened(session: Session) -> OpenedRecord:
    account = current_account(session)
    owner = RecordOwner(account.id, is_own=not is_by_share())
    names = opened_types()
    if owner.is_own or names is not None:
        return OpenedRecord(account, owner, ALL_PARTS, names)
    parts = {one for one in ALL_PARTS if one in opened_scopes()}
    return OpenedRecord(account, owner, frozenset({*parts, "account"}), None)


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
