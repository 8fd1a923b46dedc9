"""Takes mails from the outbox to a mail server, or into files where there is none."""

import smtplib
import ssl
from collections.abc import Callable
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path
from urllib.parse import unquote, urlsplit

import structlog
from sqlalchemy import Engine

from cymba.accounts import outbox
from cymba.accounts.tables import OutgoingMail
from cymba.database import UnitOfWork, utc_now
from cymba.settings import Settings, SettingsError

SMTP_TIMEOUT_S = 20

log = structlog.get_logger(__name__)

Send = Callable[[EmailMessage], None]


class MailSender:
    """One mail a transaction: it is marked as sent with the commit that follows its sending."""

    def __init__(self, engine: Engine, sender: str, send: Send) -> None:
        self._engine = engine
        self._sender = sender
        self._send = send

    def run_once(self) -> bool:
        """Send one mail that is due; whether there was one."""
        now = utc_now()
        with UnitOfWork(self._engine) as session, session.begin():
            due = outbox.take_due(session, now=now, limit=1)
            for mail in due:
                try:
                    self._send(self._message(mail))
                except (OSError, smtplib.SMTPException) as error:
                    outbox.failed(mail, now=now)
                    # Neither address nor words: they are the person's.
                    log.warning(
                        "a mail was not taken",
                        mail=str(mail.id),
                        tries=mail.tries,
                        error=type(error).__name__,
                    )
                else:
                    outbox.sent(mail, now=now)
                    log.info("a mail was sent", mail=str(mail.id))
        return bool(due)

    def _message(self, mail: OutgoingMail) -> EmailMessage:
        message = EmailMessage()
        message["From"], message["To"] = self._sender, mail.recipient
        message["Subject"], message["Date"] = mail.subject, formatdate(usegmt=True)
        message["Message-ID"] = make_msgid(idstring=mail.id.hex, domain="cymba.invalid")
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(mail.body)
        return message


def postman(settings: Settings, engine: Engine) -> MailSender:
    """The one that the settings ask for.

    Raises:
        SettingsError: CYMBA_SMTP_URL is no URL of a mail server.
    """
    if settings.smtp_url is None:
        send = into_files(settings.data_dir / "outbox")
    else:
        send = over_smtp(settings.smtp_url)
    return MailSender(engine, settings.mail_from, send)


def into_files(folder: Path) -> Send:
    def send(message: EmailMessage) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        name = str(message["Message-ID"]).strip("<>").replace("@", "_")
        (folder / f"{name}.eml").write_bytes(message.as_bytes())

    return send


def over_smtp(url: str) -> Send:
    """`smtp://` upgrades with STARTTLS where the server offers it, and must before a login."""
    parts = urlsplit(url)
    if parts.scheme not in {"smtp", "smtps"} or not parts.hostname:
        raise SettingsError("CYMBA_SMTP_URL: not of the form smtp[s]://[user:password@]host[:port]")
    host = parts.hostname
    secure = ssl.create_default_context()

    def send(message: EmailMessage) -> None:
        if parts.scheme == "smtps":
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                host, parts.port or 465, timeout=SMTP_TIMEOUT_S, context=secure
            )
        else:
            server = smtplib.SMTP(host, parts.port or 587, timeout=SMTP_TIMEOUT_S)
        with server:
            if parts.scheme == "smtp":
                server.ehlo()
                if server.has_extn("starttls"):
                    server.starttls(context=secure)
                elif parts.username:
                    raise smtplib.SMTPNotSupportedError("no STARTTLS: no login in the clear")
            if parts.username:
                server.login(unquote(parts.username), unquote(parts.password or ""))
            server.send_message(message)

    return send
