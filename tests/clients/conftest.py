"""The people and the application that the API's own tests ask."""

from tests.service.conftest import app, client, document, make_person, person, settings

__all__ = ["app", "client", "document", "make_person", "person", "settings"]
