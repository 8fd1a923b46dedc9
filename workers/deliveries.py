"""Sends mails from the outbox to a mail server, or into files without one."""

import smtplib
import ssl
from collections.abc import Callable, Sequence
from datetime import datetime
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path
from urllib.parse import unquote, urlsplit
from uuid import UUID

import structlog
from sqlalchemy import Engine

from cymba.accounts import addresses, outbox
from cymba.accounts.tables import OutgoingMail
from cymba.database import UnitOfWork, utc_now
from cymba.settings import Settings, SettingsError
from cymba.whole_file import replaced
from workers.asides import Asides
from workers.progress import Progress

SMTP_TIMEOUT_S = 20
MAILS_A_ROUND = 20
MAILS_OF_A_RECIPIENT = 5  # in a round

log = structlog.get_logger(__name__)

Send = Callable[[EmailMessage], None]


class MailSender:
    """One mail a transaction. It is marked as sent by the commit after it was sent."""

    def __init__(
        self,
        engine: Engine,
        sender: str,
        send: Send,
        progress: Progress | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._engine = engine
        self._sender = sender
        self._send = send
        self._clock = clock
        self._asides = Asides[UUID]("mail", progress or Progress(), clock)

    def run_once(self) -> bool:
        """Send some of the mails that are due. True if there may be more.

        Raises:
            sqlalchemy.exc.DBAPIError: the database cannot be spoken to.
        """
        self._asides.begin_round()
        with UnitOfWork(self._engine) as session:
            waiting = self._asides.waiting()
            due = outbox.due(
                session,
                now=self._clock(),
                limit=MAILS_A_ROUND,
                each=MAILS_OF_A_RECIPIENT,
                but=waiting,
            )
        self._asides.each(due, self._deliver)
        return len(due) >= MAILS_OF_A_RECIPIENT

    def _deliver(self, mails: Sequence[UUID]) -> int:
        """
        Raises:
            Exception: the mail could not be made, or was not accepted. The attempt is committed
            before, so the limit of attempts holds across processes.
        """
        (mail_id,) = mails
        now, failure = self._clock(), None
        with UnitOfWork(self._engine) as session, session.begin():
            mail = outbox.take(session, mail_id, now=now)
            if mail is None:
                return 0
            try:
                self._send(self._message(mail))
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this mail's
                outbox.failed(mail, now=now)
                failure = error
            else:
                outbox.sent(mail, now=now)
        if failure is not None:
            raise failure
        log.info("a mail was sent", mail=str(mail_id))
        return 1

    def _message(self, mail: OutgoingMail) -> EmailMessage:
        recipient = addresses.mailbox(mail.recipient)
        policy = addresses.MAIL_POLICY.clone(utf8=not recipient.addr_spec.isascii())
        message = EmailMessage(policy=policy)
        message["From"], message["To"] = self._sender, recipient
        message["Subject"], message["Date"] = mail.subject, formatdate(usegmt=True)
        message["Message-ID"] = make_msgid(idstring=mail.id.hex, domain="cymba.invalid")
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(mail.body)
        return message


def postman(settings: Settings, engine: Engine, progress: Progress | None = None) -> MailSender:
    """The mail sender of the settings.

    Raises:
        SettingsError: CYMBA_SMTP_URL is not the URL of a mail server.
    """
    if settings.smtp_url is None:
        send = into_files(settings.data_dir / "outbox")
    else:
        send = over_smtp(settings.smtp_url)
    return MailSender(engine, settings.mail_from, send, progress)


def into_files(folder: Path) -> Send:
    def send(message: EmailMessage) -> None:
        # A mail may hold a code that opens an account: it is for the operator's eyes alone.
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = str(message["Message-ID"]).strip("<>").replace("@", "_")
        with replaced(folder / f"{name}.eml") as file:
            file.write(message.as_bytes())

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
                    raise smtplib.SMTPNotSupportedError(
                        "no STARTTLS offered: no login in the clear"
                    )
            if parts.username:
                server.login(unquote(parts.username), unquote(parts.password or ""))
            server.send_message(message)

    return send
