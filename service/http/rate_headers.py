"""What is left of the sender's quotas, as `RateLimit-Policy` and `RateLimit` say it.

The form is that of the IETF draft "RateLimit header fields for HTTP" since its eighth version:
structured fields, in which each quota has a name. The older `RateLimit-Limit`, `-Remaining` and
`-Reset` can tell of one quota only, and `X-RateLimit-*` means another thing in every API. Clients
that read neither have `Retry-After`, which every 429 carries.
"""

from flask import Flask, Response, g

from cymba.accounts.quotas import Charge
from cymba.errors import TooManyRequests


def register(app: Flask) -> None:
    app.after_request(_show)


def show_limit(charge: Charge, left: float) -> None:
    """Let the answer say what is `left` of what the request was charged to."""
    bucket = charge.bucket
    policy = f'"{charge.name}";q={bucket.capacity};w={bucket.full_again_s(0)};qu="{charge.unit}"'
    limit = f'"{charge.name}";r={max(0, int(left))};t={bucket.full_again_s(max(0.0, left))}'
    g.setdefault("limits", {})[charge.name] = (policy, limit)


def refused(error: TooManyRequests) -> dict[str, str]:
    """The headers of a refusal."""
    wait_s = str(error.retry_after_s)
    return {"Retry-After": wait_s, "RateLimit": f'"{error.code}";r=0;t={wait_s}'}


def _show(response: Response) -> Response:
    if limits := g.get("limits"):
        policies, left = zip(*limits.values(), strict=True)
        response.headers["RateLimit-Policy"] = ", ".join(policies)
        response.headers["RateLimit"] = ", ".join(left)
    return response
