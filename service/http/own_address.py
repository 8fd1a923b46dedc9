"""Where this server is, as those who ask it know it."""

from flask import request

from service.http.services import services


def own_address() -> str:
    """Without a path, such as `https://cymba.example`. Where no public URL is set, it is what the
    request was sent to."""
    return (services().settings.public_url or request.host_url).rstrip("/")
