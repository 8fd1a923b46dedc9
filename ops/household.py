"""A simulated person and their devices, for the simulator and the demo."""

import secrets
from collections.abc import Iterable
from uuid import UUID

from sqlalchemy.orm import Session

from cymba.accounts.profile import find_by_email, register
from cymba.database import utc_now
from cymba.devices.claiming import Claimed, claim
from cymba.devices.provisioning import Credentials, provision


def provision_for(
    session: Session, email: str, models: Iterable[str], *, password: str | None = None
) -> list[Credentials]:
    """Provision a device of each model and claim it for the account of `email`.

    The account is created if it does not exist. Without a `password` nobody can sign in to it.
    """
    account_id = _account(session, email, password)
    made = []
    for model in models:
        (one,) = provision(session, model, 1)
        claimed = claim(session, account_id, one.serial, one.claim_code, utc_now())
        if not isinstance(claimed, Claimed):
            raise RuntimeError(  # noqa: TRY004 - an outcome that cannot be, not a type
                f"a device that was just made cannot be claimed: {claimed}"
            )
        made.append(one)
    return made


def _account(session: Session, email: str, password: str | None) -> UUID:
    account = find_by_email(session, email)
    if account is None:
        account = register(session, email=email, password=password or secrets.token_urlsafe(24))
    return account.id
