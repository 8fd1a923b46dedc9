"""Where this server is, as those who ask it know it."""

from typing import Final

from flask import request

from service.http.services import services

FHIR: Final = "/fhir/R4"


def own_address() -> str:
    """Without a path, such as `https://cymba.example`. Where no public URL is set, it is what the
    request was sent to."""
    return (services().settings.public_url or request.host_url).rstrip("/")


def fhir_address() -> str:
    return own_address() + FHIR
