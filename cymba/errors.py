"""The domain's errors. The REST edge turns each into a problem with its `code` as the type."""


class DomainError(Exception):
    """Something the caller asked for cannot be done; the message is for people.

    `code` is stable and part of the API's contract; `status` is the HTTP status it answers with;
    `errors` are field-level details: `{"pointer": "/amplitude_ua", "detail": "…"}`.
    """

    code = "error"
    status = 400

    def __init__(
        self, detail: str, *, code: str | None = None, errors: list[dict[str, str]] | None = None
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or type(self).code
        self.errors = errors or []


class NotFound(DomainError):
    """There is no such thing, or it is not the caller's: the two must look the same."""

    code = "not-found"
    status = 404


class Unauthenticated(DomainError):
    code = "unauthenticated"
    status = 401


class Forbidden(DomainError):
    code = "forbidden"
    status = 403


class Conflict(DomainError):
    code = "conflict"
    status = 409


class Gone(DomainError):
    code = "gone"
    status = 410


class PreconditionFailed(DomainError):
    """The caller's `If-Match` names another version than the stored one."""

    code = "stale"
    status = 412


class PreconditionRequired(DomainError):
    code = "if-match-required"
    status = 428


class Rejected(DomainError):
    """The request is well-formed but breaks a rule of the domain."""

    code = "rejected"
    status = 422


class Locked(DomainError):
    """A safety rule holds this back until a person has acted."""

    code = "locked"
    status = 423


class TooManyRequests(DomainError):
    code = "rate"
    status = 429

    def __init__(self, detail: str, *, retry_after_s: int) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class Busy(TooManyRequests):
    """The caller has as much under way as one may have: nothing was done, and soon it can be."""

    code = "busy"

    def __init__(self, detail: str, *, retry_after_s: int = 1) -> None:
        super().__init__(detail, retry_after_s=retry_after_s)
