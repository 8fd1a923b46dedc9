"""Sign-ins at a provider, unlinked while somebody comes in by them."""

import threading
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from cymba.accounts import identities
from cymba.accounts.oidc import account_for
from cymba.accounts.profile import enter
from cymba.accounts.providers import Provider
from cymba.accounts.tables import ProviderIdentity
from cymba.database import UnitOfWork
from cymba.errors import Conflict
from cymba.settings import OidcProvider

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
PROVIDER = Provider("id", OidcProvider(issuer="https://id.example.org", client_id="cymba"))
CLAIMS = {"sub": "ada-1", "email": "ada@example.org", "email_verified": True}


def test_who_comes_in_by_what_is_just_unlinked_stays_out(engine: Engine) -> None:
    with UnitOfWork(engine) as session, session.begin():
        account_id = enter(session, "ada@example.org", password_hash="a hash").id
        session.add(
            ProviderIdentity(issuer=PROVIDER.issuer, subject="ada-1", account_id=account_id)
        )
    refused: list[str] = []

    def come_in() -> None:
        with UnitOfWork(engine) as session, session.begin(), pytest.raises(Conflict) as conflict:
            account_for(session, PROVIDER, CLAIMS, link_to=None)
        refused.append(conflict.value.code)

    with UnitOfWork(engine) as session:
        (linked,) = identities.mine(session, account_id)
        wanted = identities.identity_id(linked)
        identities.unlink(
            session, account_id, wanted, issuers={PROVIDER.issuer}, keep=uuid4(), now=NOW
        )
        thread = threading.Thread(target=come_in)
        thread.start()
        with engine.connect() as looking:
            while thread.is_alive() and not looking.scalar(
                text("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
            ):
                pass
        session.commit()
    thread.join()
    # Nobody's sign-in by now: and the address has an account, which is not opened by it.
    assert refused == ["email-taken"]
