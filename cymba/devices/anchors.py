"""Stores the clock anchors that add information, and loads the clocks made from them."""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

import psycopg
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from cymba.database import Prepared, array_of, line_of
from cymba.devices.clocks import (
    EARLIEST_MS,
    Anchor,
    AnchorKind,
    BootClock,
    DeviceClocks,
    Moment,
    TimeSource,
    from_ms,
    gain_ms,
    outdoes,
    to_ms,
)
from cymba.devices.tables import Device
from cymba.parts import of_part, part_of

__all__ = [
    "Anchor",
    "BootAnchor",
    "BootKey",
    "DeviceClocks",
    "Moment",
    "TimeSource",
    "add_anchors",
    "load_clocks",
    "load_many_clocks",
]

MINIMUM_GAIN_MS: dict[AnchorKind, float] = {
    # An anchor that narrows the interval by less is not kept. At 100 ppm a live device adds a row
    # in 2,500 s, and its error grows by a quarter of a second until then.
    "exchange": 500.0,
    "arrival": 500.0,
    "queued": 60_000.0,
    "device_clock": 1_000.0,
}
RETIMING_GAIN_MS = 1_000.0  # from here on, the sessions of the boot are summarised again
MAX_ANCHORS_PER_BOOT = 4_096  # an honest device takes months to reach it
# Bounds on what is read of a device that lies or is very old. A session has one boot or two.
MOST_BOOTS_WITH_NEIGHBOURS = 16
MOST_NEIGHBOURS = 1_000  # anchors, on either side of a boot
MOST_CHECKED = 30_000  # anchors, to find how far off the device's own clock may be


_OF_BOOT = ("stores", "boots", "with_neighbours")
_PRIMARY_KEY = ("device_id", "store", "boot", "kind", "up_ms")


class BootKey(NamedTuple):
    device_id: str
    store: int
    boot: int


class BootAnchor(NamedTuple):
    key: BootKey
    anchor: Anchor


def add_anchors(session: Session, anchors: Iterable[BootAnchor]) -> set[BootKey]:
    """Store those of `anchors` that add information. Return the boots whose times change.

    The caller marks the sessions of those boots' stores for a new summary: a boot's neighbours
    move with it. Safe to run from several processes at once for the same device.
    """
    offered: dict[BootKey, list[Anchor]] = {}
    for key, anchor in anchors:
        if anchor.kind != "device_clock" or anchor.wall_ms >= EARLIEST_MS:
            offered.setdefault(key, []).append(anchor)
    if not offered:
        return set()
    known = _load(session, offered.keys())
    kept: list[dict[str, Any]] = []
    outdone: list[dict[str, Any]] = []
    retimed: set[BootKey] = set()
    for key in sorted(offered):
        before = known.get(key, [])
        of_boot = list(before)
        clock = BootClock(of_boot)
        for anchor in sorted(offered[key], key=_most_telling_first):
            if len(of_boot) >= MAX_ANCHORS_PER_BOOT:
                break
            gain = gain_ms(clock, anchor)
            if gain < MINIMUM_GAIN_MS[anchor.kind]:
                continue
            of_boot.append(anchor)
            clock = BootClock(of_boot)
            kept.append(_row(key, anchor))
            if gain >= RETIMING_GAIN_MS:
                retimed.add(key)
            if anchor.kind == "queued":
                outdone += [
                    _row(key, old)
                    for old in before
                    if old.kind == "queued" and old.up_ms < anchor.up_ms and outdoes(anchor, old)
                ]
    if kept:
        kept.sort(key=lambda row: [row[part] for part in _PRIMARY_KEY])
        session.execute(_STORE, {name: [row[name] for row in kept] for name in kept[0]})
    if outdone:
        _forget_queued(session, outdone)
    return retimed


def load_clocks(
    session: Session, device_id: str, boots: Iterable[tuple[int, int]] | None = None
) -> DeviceClocks:
    """The clocks of a device: of all its boots, or enough to place moments of `boots` (store and
    boot of each) just as well."""
    if boots is not None:
        return load_many_clocks(line_of(session), [(device_id, boots)])[0]
    provisioned_at = session.scalar(select(Device.created_at).where(Device.id == device_id))
    return DeviceClocks(_by_boot(session.execute(_ALL, {"device_id": device_id})), provisioned_at)


def load_many_clocks(
    line: psycopg.Connection[Any],
    wanted: Sequence[tuple[str, Iterable[tuple[int, int]]]],
    *,
    provisioned_at: Mapping[str, datetime] | None = None,
) -> list[DeviceClocks]:
    """For each device, of one part, clocks that are enough to place moments of some of its boots.

    A boot that is anchored on both sides is enough by itself. Otherwise its neighbours are read, up
    to the next ones that are. How far off the device's own clock may be is read when asked for.
    What is read is bounded, whatever the device has sent: beyond the bounds, errors get wider.

    Args:
        provisioned_at: of those devices that there are, where the caller has read it already.
    """
    if not wanted:
        return []
    device_ids = [device_id for device_id, _ in wanted]
    if provisioned_at is None:
        provisioned_at = dict(_BEGUN.rows(line, device_ids=device_ids))
    columns: dict[str, Any] = {name: [] for name in ("numbers", "devices", *_OF_BOOT)}
    for number, (device_id, boots) in enumerate(wanted):
        in_order = sorted(set(boots))
        are_few = len(in_order) <= MOST_BOOTS_WITH_NEIGHBOURS
        for boot in in_order:
            for name, value in zip(columns, (number, device_id, *boot, are_few), strict=True):
                columns[name].append(value)
    anchors: list[list[Any]] = [[] for _ in wanted]
    part = part_of(line, device_ids)
    arrays = {name: array_of(column) for name, column in columns.items()}
    for number, *anchor in _AROUND.rows(line, **arrays, most=MOST_NEIGHBOURS, part=part):
        anchors[number].append(anchor)

    def checked(device_id: str) -> list[BootClock]:
        rows = _CHECKED.rows(line, device_id=device_id, most=MOST_CHECKED)
        return [BootClock(of_boot) for of_boot in _by_boot(rows).values()]

    return [
        DeviceClocks(
            _by_boot(rows), provisioned_at.get(device_id), checked=partial(checked, device_id)
        )
        for device_id, rows in zip(device_ids, anchors, strict=True)
    ]


def _by_boot(rows: Iterable[Any]) -> dict[tuple[int, int], list[Anchor]]:
    anchors: dict[tuple[int, int], list[Anchor]] = {}
    for store, boot, kind, up_ms, wall_at, error_ms in rows:
        # The table's check holds `kind` to AnchorKind.
        anchors.setdefault((store, boot), []).append(Anchor(kind, up_ms, to_ms(wall_at), error_ms))
    return anchors


def _most_telling_first(anchor: Anchor) -> tuple[int, float]:
    order: tuple[AnchorKind, ...] = ("exchange", "arrival", "queued", "device_clock")
    if anchor.kind in {"arrival", "queued"}:
        return order.index(anchor.kind), anchor.wall_ms - anchor.up_ms
    return order.index(anchor.kind), anchor.up_ms


def _load(session: Session, keys: Iterable[BootKey]) -> dict[BootKey, list[Anchor]]:
    devices, stores, boots = zip(*keys, strict=True)
    rows = session.execute(
        text(
            """
            SELECT a.device_id, a.store, a.boot, a.kind, a.up_ms,
                   extract(epoch FROM a.wall_at)::float8 * 1000, a.error_ms
            FROM unnest(CAST(:devices AS text[]), CAST(:stores AS bigint[]),
                        CAST(:boots AS bigint[])) AS k (device_id, store, boot)
            JOIN clock_anchor AS a
              ON (a.device_id, a.store, a.boot) = (k.device_id, k.store, k.boot)
            """
        ),
        {"devices": list(devices), "stores": list(stores), "boots": list(boots)},
    )
    known: dict[BootKey, list[Anchor]] = {}
    for device_id, store, boot, kind, up_ms, wall_ms, error_ms in rows:
        key = BootKey(device_id, store, boot)
        known.setdefault(key, []).append(Anchor(kind, up_ms, wall_ms, error_ms))
    return known


def _forget_queued(session: Session, rows: list[dict[str, Any]]) -> None:
    """Delete bounds that a newer one outdoes, but those that another bridge deletes now."""
    session.execute(
        text(
            f"""
            DELETE FROM clock_anchor AS gone WHERE {of_part("gone.device_id")}
              AND (gone.device_id, gone.ctid) IN (
              SELECT a.device_id, a.ctid
              FROM unnest(CAST(:devices AS text[]), CAST(:stores AS bigint[]),
                          CAST(:boots AS bigint[]), CAST(:ups AS bigint[]))
                     AS k (device_id, store, boot, up_ms)
              JOIN clock_anchor AS a
                ON (a.device_id, a.store, a.boot, a.kind, a.up_ms)
                 = (k.device_id, k.store, k.boot, 'queued', k.up_ms)
              WHERE {of_part("a.device_id")}
              FOR UPDATE OF a SKIP LOCKED)
            """  # noqa: S608 - a constant
        ),
        {
            "part": part_of(session, (row["device_id"] for row in rows)),
            "devices": [row["device_id"] for row in rows],
            "stores": [row["store"] for row in rows],
            "boots": [row["boot"] for row in rows],
            "ups": [row["up_ms"] for row in rows],
        },
    )


def _row(key: BootKey, anchor: Anchor) -> dict[str, Any]:
    """A row of the table: `up` in whole milliseconds, and the wall time moved with the rounding."""
    up_ms = math.floor(anchor.up_ms)
    return {
        "device_id": key.device_id,
        "store": key.store,
        "boot": key.boot,
        "kind": anchor.kind,
        "up_ms": up_ms,
        "wall_at": from_ms(anchor.wall_ms - (anchor.up_ms - up_ms)),
        "error_ms": float(anchor.error_ms),
    }


# One statement for all rows: with one for each, `add_anchors` took half as long again.
_STORE = text(
    """
    INSERT INTO clock_anchor (device_id, store, boot, kind, up_ms, wall_at, error_ms)
    SELECT * FROM unnest(
      CAST(:device_id AS text[]), CAST(:store AS bigint[]), CAST(:boot AS bigint[]),
      CAST(:kind AS text[]), CAST(:up_ms AS bigint[]), CAST(:wall_at AS timestamptz[]),
      CAST(:error_ms AS float8[]))
    ON CONFLICT DO NOTHING
    """
)
_BEGUN = Prepared(text("SELECT id, created_at FROM device WHERE id = ANY(:device_ids)"))
_ALL = text(
    """
    SELECT store, boot, kind, up_ms, wall_at, error_ms FROM clock_anchor
    WHERE device_id = :device_id
    """
)
# Each part by the key, its neighbours from the boot outwards; UNION, since boots share neighbours.
_AROUND = Prepared(
    text(
        f"""
        WITH wanted AS MATERIALIZED (
          SELECT k.number, k.device_id, k.store, k.boot, k.with_neighbours, EXISTS (
                   SELECT FROM clock_anchor AS a
                   WHERE a.device_id = k.device_id AND a.store = k.store AND a.boot = k.boot
                     AND {of_part("a.device_id")}
                     AND a.kind IN ('exchange', 'arrival') OFFSET 0) AS two_sided
          FROM unnest(CAST(:numbers AS int[]), CAST(:devices AS text[]), CAST(:stores AS bigint[]),
                      CAST(:boots AS bigint[]), CAST(:with_neighbours AS bool[]))
            AS k (number, device_id, store, boot, with_neighbours)),
        around AS MATERIALIZED (
          SELECT k.number, k.device_id, k.store, k.boot, coalesce((
                   SELECT a.boot FROM clock_anchor AS a
                   WHERE a.device_id = k.device_id AND a.store = k.store AND a.boot < k.boot
                     AND {of_part("a.device_id")}
                     AND a.kind IN ('exchange', 'arrival')
                   ORDER BY a.boot DESC LIMIT 1), 0) AS low, coalesce((
                   SELECT a.boot FROM clock_anchor AS a
                   WHERE a.device_id = k.device_id AND a.store = k.store AND a.boot > k.boot
                     AND {of_part("a.device_id")}
                     AND a.kind IN ('exchange', 'arrival')
                   ORDER BY a.boot LIMIT 1), 4294967295) AS high
          FROM wanted AS k WHERE NOT k.two_sided AND k.with_neighbours)
        SELECT k.number, a.store, a.boot, a.kind, a.up_ms, a.wall_at, a.error_ms
        FROM wanted AS k CROSS JOIN LATERAL (
          SELECT * FROM clock_anchor AS own
          WHERE own.device_id = k.device_id AND own.store = k.store AND own.boot = k.boot
            AND {of_part("own.device_id")}
          OFFSET 0) AS a
        UNION
        SELECT k.number, a.store, a.boot, a.kind, a.up_ms, a.wall_at, a.error_ms
        FROM around AS k CROSS JOIN LATERAL (
          (SELECT * FROM clock_anchor AS earlier
           WHERE earlier.device_id = k.device_id AND earlier.store = k.store
             AND earlier.boot >= k.low AND earlier.boot < k.boot
             AND {of_part("earlier.device_id")}
           ORDER BY earlier.boot DESC, earlier.kind DESC, earlier.up_ms DESC LIMIT :most)
          UNION ALL
          (SELECT * FROM clock_anchor AS later
           WHERE later.device_id = k.device_id AND later.store = k.store
             AND later.boot > k.boot AND later.boot <= k.high
             AND {of_part("later.device_id")}
           ORDER BY later.boot, later.kind, later.up_ms LIMIT :most)) AS a
        """  # noqa: S608 - a constant
    )
)
# The boots by which a device's own clock can be checked.
_CHECKED = Prepared(
    text(
        """
        WITH known AS (
          SELECT a.*,
                 bool_or(a.kind = 'device_clock') OVER same_boot
                 AND bool_or(a.kind IN ('exchange', 'arrival')) OVER same_boot AS is_checked
          FROM (SELECT * FROM clock_anchor AS o WHERE o.device_id = :device_id
                ORDER BY o.store, o.boot, o.kind, o.up_ms LIMIT :most) AS a
          WINDOW same_boot AS (PARTITION BY a.store, a.boot))
        SELECT store, boot, kind, up_ms, wall_at, error_ms FROM known WHERE is_checked
        """
    )
)
