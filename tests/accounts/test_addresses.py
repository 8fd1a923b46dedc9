"""Which addresses are taken, and that mail to each of those reaches that one recipient."""

import smtplib
import unicodedata
from email.utils import getaddresses
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cymba.accounts import addresses
from cymba.accounts.tables import OutgoingMail
from workers.deliveries import MailSender

NO_ENGINE: Any = None  # what makes a message of a mail asks the database nothing
ODD = [
    *("<", ">", "(", ")", "[", "]", ",", ";", ":", '"', "\\", " ", "\t", "\r\n", "\0", "\x7f"),
    *("@", ".", "..", "=?utf-8?q?", "?=", "=?us-ascii?b?", "victim@example.org", "%", "!", "`"),
    *("\u0130", "\u0131", "\u00df", "e\u0301", "\u00e9", "\ufb01", "\u200b", "\u202e", "\u3002"),
    *(
        "\uff20",
        "\uff0e",
        "xn--",
        "xn--bcher-kva",
        "\u00fc",
        "\u0645",
        "-",
        "_",
        "a" * 63,
        "\ud800",
    ),
]
PIECES = st.lists(
    st.one_of(st.sampled_from(ODD), st.text(max_size=4), st.text("abc.", max_size=12)), max_size=6
).map("".join)
WRITTEN = st.one_of(
    PIECES,
    st.builds("{}@{}".format, PIECES, PIECES),
    st.builds("{}@{}.{}".format, PIECES, PIECES, PIECES),
    st.builds("{}@example.org".format, PIECES),
    st.builds("ada@{}.org".format, PIECES),
    st.builds("{} <{}@example.org>".format, PIECES, PIECES),
)


class FakeSmtp(smtplib.SMTP):
    """Takes everything, and notes whom each mail was for and what was in it."""

    def __init__(self):
        super().__init__()
        self.esmtp_features = {"smtputf8": ""}
        self.taken = []

    def ehlo_or_helo_if_needed(self):
        pass

    def sendmail(self, _sender, to_addrs, msg, *_options):
        self.taken.append((to_addrs, msg))
        return {}


def recipients(stored):
    """Those that `smtplib` names to the server, and those in the header, for a mail to `stored`."""
    mail = OutgoingMail(recipient=stored, subject="s", body="b")
    mail.id = uuid4()
    server = FakeSmtp()
    server.send_message(MailSender(NO_ENGINE, "Cymba <no-reply@example.org>", print)._message(mail))
    ((named, raw),) = server.taken
    (line,) = [one for one in raw.decode().split("\r\n") if one.startswith("To:")]
    return named, [spec for _, spec in getaddresses([line.removeprefix("To:")])]


@settings(max_examples=1500)
@given(WRITTEN)
@example("a@[.a")
@example("Ana<victim@example.org")
@example("=?utf-8?q?victim?=@example.org")
@example("\u0130@b\u00fccher.example")
@example("a" * 64 + "@" + ".".join(["b" * 60] * 3) + ".org")
def test_an_address_that_is_taken_reaches_itself_and_any_other_is_refused_in_words(written):
    try:
        stored = addresses.parse(written)
    except addresses.NoAddress:
        return
    assert addresses.parse(stored) == stored
    local, _, _ = stored.rpartition("@")
    wire = f"{local}@{addresses.mailbox(stored).domain}"
    assert wire.rpartition("@")[2].isascii()
    assert recipients(stored) == ([wire], [wire])
    assert unicodedata.normalize("NFC", written).startswith(local + "@")
    assert addresses.key(stored) == addresses.key(written) == addresses.key(wire)


@settings(max_examples=1000)
@given(WRITTEN)
def test_an_address_has_one_key_however_it_is_written(written):
    key = addresses.key(written)
    assert addresses.key(key) == key
    for form in ("NFC", "NFD"):
        assert addresses.key(unicodedata.normalize(form, written)) == key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ada@Example.org", "ada@example.ORG"),
        ("\u0130@example.org", "i\u0307@example.org"),
        ("stra\u00dfe@example.org", "STRASSE@example.org"),
        ("\u00e9@example.org", "e\u0301@example.org"),
        ("a@b\u00fccher.example", "a@xn--bcher-kva.example"),
        ("a@B\u00dcCHER.example", "a@bu\u0308cher.example"),
    ],
)
def test_two_ways_of_writing_one_address_have_one_key(one, other):
    assert addresses.key(one) == addresses.key(other)


@pytest.mark.parametrize(
    "ordinary",
    [
        "ada@example.org",
        "o'neil+cymba@mail.example.co.uk",
        "a.b-c_d@x1.example",
        "\u00e9@example.org",
        "a@b\u00fccher.example",
        "x@example.test",
    ],
)
def test_ordinary_addresses_are_taken(ordinary):
    assert addresses.parse(ordinary) == ordinary
