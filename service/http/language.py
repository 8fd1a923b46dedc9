"""The language of an answer.

An account's own wins: two phones of one account read the same, whatever each asks for. Before there
is an account, and for who looks by a share without signing in, `Accept-Language` decides.
"""

from contextlib import suppress

from flask import Flask, Response, g, request
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.datastructures import LanguageAccept
from werkzeug.http import parse_accept_header

from cymba.accounts.tables import Account
from cymba.voice import Voice, spoken_of
from service.http.services import services

_LONGEST_HEADER = 1000  # characters that are looked at: dozens of languages


def spoken() -> Voice:
    """Who says the texts of this answer. Ask once the account is known, if there is one."""
    voice: Voice
    if "locale" in g:
        voice = Voice.of(g.locale)
    else:
        voice, g.is_negotiated = Voice.of(wanted_locale() or "en"), True
    g.language = voice.language
    return voice


def speak(locale: str) -> None:
    """Answer this request in the language of an account."""
    g.locale = locale


def look_up() -> None:
    """Learn the language of whose token this is, where a request is refused before its account was
    read. If the database does not answer, `Accept-Language` decides."""
    if "locale" in g or "access" not in g or "share_token" in g:
        return
    of_account = select(Account.locale).where(Account.id == g.access.account_id)
    with suppress(SQLAlchemyError), services().sessions.begin() as session:
        locale = session.scalar(of_account)
        if locale is not None:
            speak(locale)


def wanted_locale() -> str | None:
    """The tag that `Accept-Language` likes most, of those whose language is spoken here."""
    header = request.headers.get("Accept-Language", "")[:_LONGEST_HEADER]
    accepted = parse_accept_header(header, LanguageAccept)
    return spoken_of(tag for tag, quality in accepted if quality > 0)


def register(app: Flask) -> None:
    app.after_request(_name_language)


def _name_language(response: Response) -> Response:
    if "language" in g:
        response.headers["Content-Language"] = g.language
    if "is_negotiated" in g:
        response.vary.add("Accept-Language")
    return response
