"""Authentication and access rules for brokers that ask over HTTP.

The client id must be the user name. So nobody can end the connection of another device, or of a
bridge, by taking its client id.
"""

import re
from collections.abc import Collection
from enum import Enum
from hmac import compare_digest

from sqlalchemy import select
from sqlalchemy.orm import Session

from cymba.devices.cells import admitted_by
from cymba.devices.provisioning import verify_secret
from cymba.devices.tables import Device

_BRIDGE = re.compile(r"bridge-[0-9]{1,4}")
_SHARED = re.compile(r"\$share/[^/+#]+/(.+)")
_UP = frozenset({"frame", "state", "time", "presence"})
_DOWN = frozenset({"ack", "broker", "desired", "time", "+", "#"})


class TopicAccess(Enum):
    PUBLISH = "publish"
    SUBSCRIBE = "subscribe"  # to subscribe to a filter, or to receive a message


def is_bridge(user: str) -> bool:
    return _BRIDGE.fullmatch(user) is not None


def may_connect(
    session: Session,
    user: str,
    secret: str,
    client_id: str,
    *,
    bridge_secret: str | None,
    cell: str,
) -> bool:
    """Whether the secret is the user's, and the broker of `cell` theirs. `bridge_secret` None: no
    bridge may."""
    if client_id != user:
        return False
    if is_bridge(user):
        known = (bridge_secret or "").encode()
        return compare_digest(known, secret.encode(errors="surrogatepass")) and bool(known)
    return admitting_hash(session, user, secret, cell) is not None


def admitting_hash(session: Session, device_id: str, secret: str, cell: str) -> str | None:
    """The stored hash that `secret` fits, if the broker of `cell` is to admit the device. It is
    valid as long as `admitting_hashes` gives the same."""
    stored = admitting_hashes(session, [device_id], cell).get(device_id)
    return stored if verify_secret(stored, secret) else None


def admitting_hashes(
    session: Session, device_ids: Collection[str] | None, cell: str
) -> dict[str, str]:
    """The present hashes of those of these devices (None: of all) whom the broker of `cell` is to
    admit, in the order of their ids."""
    rows = select(Device.id, Device.secret_hash).where(
        Device.secret_hash.is_not(None), admitted_by(cell)
    )
    if device_ids is not None:
        rows = rows.where(Device.id.in_(device_ids))
    return {
        device_id: stored
        for device_id, stored in session.execute(rows.order_by(Device.id))
        if stored is not None
    }


def may(session: Session, user: str, access: TopicAccess, topic: str, *, cell: str) -> bool:
    """Whether a user who is connected to the broker of `cell` may publish or subscribe to a topic
    (or filter).

    A device whose secret was revoked, or that has gone to another cell, may do nothing more on its
    open connection.
    """
    if not is_theirs(user, access, topic):
        return False
    return is_bridge(user) or bool(admitting_hashes(session, [user], cell))


def is_theirs(user: str, access: TopicAccess, topic: str) -> bool:
    """Whether protocol v1 gives a topic (or filter) to the user."""
    if is_bridge(user):
        shared = _SHARED.fullmatch(topic)
        topic = shared[1] if shared and access is TopicAccess.SUBSCRIBE else topic
        if topic == f"cymba/bridge/{user}/echo":
            return True
        direction = "down" if access is TopicAccess.PUBLISH else "up"
        levels = topic.split("/")
        # A bridge also removes retained presence from the broker (`withdrawal`).
        is_presence = access is TopicAccess.PUBLISH and levels[3:] == ["up", "presence"]
        ours = is_presence or levels[3:4] == [direction]
        return len(levels) == 5 and levels[:2] == ["cymba", "v1"] and ours
    root, _, subject = topic.rpartition("/")
    if access is TopicAccess.PUBLISH:
        return root == f"cymba/v1/{user}/up" and subject in _UP
    return root == f"cymba/v1/{user}/down" and subject in _DOWN
