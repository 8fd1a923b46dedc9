"""Fresh proof of who is asking: what a thief with a token alone must not be able to do."""

from sqlalchemy.orm import Session

from cymba.accounts import throttle, tokens
from cymba.accounts.tokens import Caller
from cymba.errors import TooManyRequests
from service.http.bearer import current_access, current_account
from service.http.services import services
from service.http.transaction import transaction


def proven_account(session: Session) -> Caller:
    """The account that asks, whose sign-in gave its password, or came of a provider, just now.

    Raises:
        Forbidden: it was too long ago (`reauthentication-required`).
    """
    account = current_account(session)
    tokens.require_proof(session, current_access().family_id, services().now())
    return account


def count_guess() -> throttle.Attempt:
    """Count one current password that the request gives, before it is looked at; `forgive` takes
    it back.

    Raises:
        TooManyRequests: this sign-in has given too many wrong ones.
    """
    with transaction() as session:
        current_account(session)
        counted = throttle.count_proof(
            session,
            services().throttle_key,
            family_id=current_access().family_id,
            now=services().now(),
        )
    if isinstance(counted, throttle.Throttled):
        raise TooManyRequests("Too many wrong passwords.", retry_after_s=counted.retry_after_s)
    return counted
