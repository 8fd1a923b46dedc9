"""Cursors: where the next page begins, opaque and signed.

A cursor holds the sort key of the last item of a page, so rows that come or go meanwhile shift
nothing. It is signed for its account and query, and not valid for any other.
"""

import base64
import binascii
import hmac
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any, TypeVar

import marshmallow as ma
import msgspec

from cymba.errors import Rejected
from cymba.voice import said
from service.http import out
from service.http.fields import Schema, Text, Whole, validation_failed
from service.http.services import services

MAX_LIMIT = 200
DEFAULT_LIMIT = 50
_MAC_BYTES = 16
Key = TypeVar("Key")
Row = TypeVar("Row")


def cursor_field() -> ma.fields.Field[Any]:
    return Text(
        validate=ma.validate.Length(min=1, max=512),
        metadata={"description": "`next_cursor` of the page before, with the same query"},
    )


def limit_field() -> ma.fields.Field[Any]:
    return Whole(
        in_query=True,
        load_default=DEFAULT_LIMIT,
        validate=ma.validate.Range(min=1, max=MAX_LIMIT),
        metadata={"description": "Items on a page"},
    )


def next_cursor_field() -> ma.fields.Field[Any]:
    return out.text(None, "null on the last page", null=True)


class PageQuerySchema(Schema):
    cursor = cursor_field()
    limit = limit_field()


def page_by_number(
    query: Mapping[str, Any],
    scope: str,
    *,
    read: Callable[[int | None, int], Sequence[Row]],
    number: Callable[[Row], int],
    show: Callable[[Row], dict[str, Any]],
) -> dict[str, Any]:
    """A page of rows that a falling number orders, such as their id.

    Args:
        read: at most so many rows below a number, the highest first; None begins at the top.
    """
    key = opened_cursor(scope, query, tuple[int])
    limit: int = query["limit"]
    rows = read(None if key is None else key[0], limit + 1)
    items = [show(row) for row in rows[:limit]]
    has_more = len(rows) > limit
    next_cursor = seal_cursor(scope, (number(rows[limit - 1]),)) if has_more else None
    return {"items": items, "next_cursor": next_cursor}


def seal_cursor(
    scope: str, key: Sequence[Any] | msgspec.Struct, *, secret: bytes | None = None
) -> str:
    """The cursor for `key`, which is valid in `scope` only.

    Args:
        secret: the application's `cursor_key`, where no request is served.
    """
    body = msgspec.msgpack.encode(key)
    mac = _mac(scope, body, secret or services().cursor_key)
    return base64.urlsafe_b64encode(mac + body).rstrip(b"=").decode()


def opened_cursor(scope: str, query: Mapping[str, Any], key_type: type[Key]) -> Key | None:
    """The key in the cursor of a query, which `seal_cursor` made for the same scope; None on the
    first page.

    Raises:
        Rejected: it did not.
    """
    return open_cursor(scope, query["cursor"], key_type) if "cursor" in query else None


def open_cursor(scope: str, cursor: str, key_type: type[Key]) -> Key:
    """The key in a cursor; raises as `opened_cursor`."""
    try:
        raw = base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        mac, body = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        if not hmac.compare_digest(mac, _mac(scope, body, services().cursor_key)):
            raise _not_ours()
        return msgspec.msgpack.decode(body, type=key_type)
    except (ValueError, binascii.Error, msgspec.DecodeError):
        raise _not_ours() from None


def _mac(scope: str, body: bytes, secret: bytes) -> bytes:
    # The scope's length goes in too, so that no scope and body read like another pair.
    text = scope.encode()
    framed = len(text).to_bytes(4, "big") + text + body
    return hmac.new(secret, framed, sha256).digest()[:_MAC_BYTES]


def _not_ours() -> Rejected:
    return validation_failed({"query": {"cursor": [said("Not a cursor of this query.")]}})
