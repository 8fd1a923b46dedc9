"""E-mail addresses: which are valid, when two are the same, and how a message names one.

An address is valid if Python's own mail library reads it back from the bytes of a message as the
same single recipient. So mail to a stored address cannot reach somebody else, as with
`Ana<victim@example.org>`. The library decides; the rules before it only give reasons in words.
"""

import re
import unicodedata
from email.errors import NonASCIILocalPartDefect
from email.headerregistry import Address
from email.message import EmailMessage
from email.parser import Parser
from email.policy import SMTP
from email.utils import getaddresses
from typing import Final

import idna

from cymba.voice import said

MAX_CHARACTERS: Final = 254  # RFC 5321, section 4.5.3.1, less the angle brackets
MAX_LOCAL_BYTES: Final = 64
# Dot-atoms (RFC 5322), with letters beyond ASCII (RFC 6532). Quotes, comments and brackets are
# excluded: no real address needs them, and parsers disagree on them.
_LOCAL: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\U0010ffff-]+")
# A message's header is never broken within an address, however long it is.
MAIL_POLICY: Final = SMTP.clone(max_line_length=998)


class NoAddress(ValueError):
    """Not a valid e-mail address; the message says why."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


def parse(email: str) -> str:
    """The address as it is stored: composed (NFC), its domain in lower case and in letters.

    Raises:
        NoAddress.
    """
    local, domain = _parts(unicodedata.normalize("NFC", email))
    stored = f"{local}@{_readable(domain)}"
    mailbox(stored)
    return stored


def key(email: str) -> str:
    """A key that two spellings of one address share.

    Letter case does not count, nor how letters are composed (Unicode's canonical caseless
    matching), nor whether a domain is written in letters or in Punycode. Any text has a key:
    people sign in with what they type, and accounts older than `parse` have odd addresses.
    """
    local, at, domain = email.rpartition("@")
    try:
        domain = _readable(_encoded(domain))
    except NoAddress:
        domain = _caseless(domain)
    return _caseless(local) + at + domain


def mailbox(email: str) -> Address:
    """The address as a message names it, with its domain encoded (IDNA 2008).

    Raises:
        NoAddress: mail to it could reach somebody else, or nobody.
    """
    local, domain = _parts(email)
    address = Address(username=local, domain=domain)
    if _read_back(address) != [f"{local}@{domain}"]:
        raise NoAddress("is not an e-mail address: mail programs do not agree on whose it is")
    return address


def _parts(email: str) -> tuple[str, str]:
    """The part before the @, and the encoded domain."""
    local, at, domain = email.rpartition("@")
    if not at or not local or not domain:
        raise NoAddress("is not an e-mail address: it has the form name@domain")
    if len(email) > MAX_CHARACTERS:
        raise NoAddress(
            said("is longer than the {most} characters of an e-mail address", most=MAX_CHARACTERS)
        )
    if not all(_LOCAL.fullmatch(atom) for atom in local.split(".")):
        raise NoAddress(
            "is not an e-mail address: before the @ there are letters, digits, dots between them "
            "and the signs !#$%&'*+-/=?^_`{|}~"
        )
    if any(unicodedata.category(sign)[0] in "CZ" for sign in local):
        raise NoAddress("is not an e-mail address: it holds a space or an invisible character")
    if len(local.encode()) > MAX_LOCAL_BYTES:
        raise NoAddress(said("has more than {most} bytes before the @", most=MAX_LOCAL_BYTES))
    encoded = _encoded(domain)
    if len(local.encode()) + 1 + len(encoded) > MAX_CHARACTERS:
        raise NoAddress(
            said("is longer than the {most} characters of an e-mail address", most=MAX_CHARACTERS)
        )
    return local, encoded


def _encoded(domain: str) -> str:
    try:
        encoded = idna.encode(domain, uts46=True, std3_rules=True).decode()
    except (idna.IDNAError, UnicodeError):
        encoded = ""
    if "." not in encoded or encoded.endswith(".") or encoded.rpartition(".")[2].isdigit():
        raise NoAddress("is not an e-mail address: what stands behind the @ is no domain")
    return encoded


def _readable(encoded: str) -> str:
    try:
        return idna.decode(encoded)
    except (idna.IDNAError, UnicodeError):
        raise NoAddress("is not an e-mail address: what stands behind the @ is no domain") from None


def _read_back(address: Address) -> list[str]:
    """The recipients of a message to the address, if the parser and `smtplib` agree on them."""
    sent = EmailMessage(policy=MAIL_POLICY.clone(utf8=True))
    try:
        sent["To"] = address
        read = Parser(policy=sent.policy).parsestr(sent.as_bytes().decode())
        named = [one.addr_spec for one in read["To"].addresses]
        by_smtplib = [spec for _, spec in getaddresses([str(sent["To"])])]
    # The parser may raise anything; an address that breaks it is invalid.
    except Exception:  # noqa: BLE001
        return []
    defects = [one for one in read["To"].defects if not isinstance(one, NonASCIILocalPartDefect)]
    return named if named == by_smtplib and not defects else []


def _caseless(text: str) -> str:
    """Unicode's canonical caseless matching (D145), composed."""
    decomposed = unicodedata.normalize("NFD", text)
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", decomposed.casefold()))
