"""The feed as the core gives it, with columns written as they are."""

from typing import Any
from uuid import UUID

import orjson
from sqlalchemy.orm import Session

from cymba.accounts.changes import Kind
from cymba.database import line_of
from cymba.sync.feed import KINDS, Feed, FeedPages, Position

PAGES = FeedPages(lambda _, column: column, lambda _, column: column)


def read_feed(
    session: Session,
    account_id: UUID,
    after: Position | None,
    *,
    kinds: tuple[Kind, ...] = KINDS,
    limit: int = 200,
) -> Feed:
    feed = PAGES.read(line_of(session), account_id, None, after, kinds=kinds, limit=limit)
    assert feed is not None
    return feed


def entries_of(feed: Feed) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for one in feed.diary_entries:
        found += orjson.loads(f"[{one}]") if isinstance(one, str) else [one]
    return found


def entry_ids(feed: Feed) -> list[UUID]:
    return [UUID(one["id"]) for one in entries_of(feed)]
