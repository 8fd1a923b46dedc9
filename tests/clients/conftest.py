"""The people and the application that the API's own tests ask."""

from tests.service.conftest import app, make_person, settings

__all__ = ["app", "make_person", "settings"]
