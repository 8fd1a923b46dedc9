"""Resetting a forgotten password, which also ends all access that a thief may have."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from cymba.accounts import identities, recovery, sharing
from cymba.devices import claiming


def reset_password(session: Session, token: str, new_hash: str, *, now: datetime) -> UUID:
    """Set a new password with the mailed code. Return the account's id.

    Ends all that a thief may have begun: sign-ins, shares, links to providers, codes that hand a
    device on, a change of the address.

    Raises:
        Rejected: the code is not good (any more).
    """
    account_id = recovery.spend_reset(session, token, now=now)
    claiming.withdraw_codes(session, account_id)  # devices are locked before their account
    recovery.set_password(session, account_id, new_hash, now=now)
    sharing.revoke_all(session, account_id, now=now)
    identities.unlink_all(session, account_id)
    return account_id
