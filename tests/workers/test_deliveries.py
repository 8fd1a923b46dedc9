"""Mails leave through a real SMTP conversation, or into files; a refused one is tried again."""

import email
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select

from cymba.accounts import outbox
from cymba.accounts.tables import OutgoingMail
from cymba.database import UnitOfWork, utc_now
from cymba.operations import queues
from cymba.settings import Settings, SettingsError
from workers.deliveries import MailSender, into_files, over_smtp, postman


@dataclass
class Mailbox:
    port: int
    refuses: bool = False
    received: list[str] = field(default_factory=list)


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    """The least of a mail server: it takes what it is given, or says no."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.say("220 here")
            while line := self.rfile.readline().decode().strip():
                verb = line.upper().split()[0]
                if verb == "DATA":
                    self.say("354 go on")
                    lines = []
                    while (text := self.rfile.readline().decode().rstrip("\r\n")) != ".":
                        lines.append(text)
                    box.received.append("\n".join(lines))
                    self.say("250 kept")
                elif verb == "MAIL" and box.refuses:
                    self.say("451 later")
                elif verb == "QUIT":
                    self.say("221 bye")
                    return
                else:
                    self.say("250 fine")

        def say(self, text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        box = Mailbox(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield box
        server.shutdown()
        thread.join()


@pytest.fixture
def waiting(engine: Engine) -> Engine:
    with UnitOfWork(engine) as session, session.begin():
        outbox.enqueue(
            session,
            account_id=None,
            recipient="ada@example.org",
            subject="Grüße",
            body="A code:\n\n    abc\n",
        )
    return engine


def stored(engine: Engine) -> OutgoingMail:
    with UnitOfWork(engine) as session:
        return session.scalars(select(OutgoingMail)).one()


def test_a_mail_is_sent_once_and_its_words_are_forgotten(
    waiting: Engine, mailbox: Mailbox, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path, smtp_url=f"smtp://127.0.0.1:{mailbox.port}")
    sender = postman(settings, waiting)
    sender.run_once()
    sender.run_once()
    (text,) = mailbox.received
    message = email.message_from_string(text, policy=email.policy.default)
    assert (message["To"], message["Subject"]) == ("ada@example.org", "Grüße")
    assert "abc" in message.get_content()
    assert stored(waiting).sent_at is not None
    assert stored(waiting).body == ""


def test_a_mail_that_is_refused_waits_longer_each_time(
    waiting: Engine, mailbox: Mailbox, tmp_path: Path
) -> None:
    mailbox.refuses = True
    settings = Settings(data_dir=tmp_path, smtp_url=f"smtp://127.0.0.1:{mailbox.port}")
    now = [utc_now()]
    sender = MailSender(waiting, "Cymba <x@y>", over_smtp(settings.smtp_url), clock=lambda: now[0])  # type: ignore[arg-type]
    waits = []
    for number in range(1, 4):
        sender.run_once()
        assert stored(waiting).tries == number
        waits.append(stored(waiting).next_try_at - now[0])
        sender.run_once()
        assert stored(waiting).tries == number  # not before its time
        now[0] = stored(waiting).next_try_at
    assert timedelta(seconds=40) < waits[0] < waits[1] < waits[2]
    mailbox.refuses = False
    sender.run_once()
    assert len(mailbox.received) == 1
    assert stored(waiting).tries == 4


def test_a_new_mail_waits_for_no_clock(waiting: Engine, mailbox: Mailbox, tmp_path: Path) -> None:
    """The database's may be ahead by as long as a code in the mail lasts."""
    settings = Settings(data_dir=tmp_path, smtp_url=f"smtp://127.0.0.1:{mailbox.port}")
    behind = utc_now() - timedelta(hours=1)
    sender = MailSender(waiting, "Cymba <x@y>", over_smtp(settings.smtp_url), clock=lambda: behind)  # type: ignore[arg-type]
    with UnitOfWork(waiting) as session:
        assert queues.mails_to_send(session, behind).waiting == 1
    sender.run_once()
    assert len(mailbox.received) == 1


@pytest.mark.parametrize("where", ["composing", "sending"])
def test_one_mail_that_raises_anything_stops_no_other_and_its_tries_are_counted(
    engine: Engine, where: str
) -> None:
    with UnitOfWork(engine) as session, session.begin():
        for number in range(3):
            # A line break in a subject is refused by the composer, whatever brought it there.
            bad = number == 0 and where == "composing"
            subject = "a\nBcc: eve@example.org" if bad else f"{number}"
            outbox.enqueue(
                session, account_id=None, recipient="a@b.example", subject=subject, body="x"
            )
    sent: list[str] = []

    def send(message: EmailMessage) -> None:
        if message["Subject"] == "0":
            raise RuntimeError("of this one alone")
        sent.append(message["Subject"])

    now = [utc_now()]
    sender = MailSender(engine, "Cymba <x@y.example>", send, clock=lambda: now[0])
    for _ in range(outbox.MAX_TRIES + 3):
        sender.run_once()
        now[0] += timedelta(days=1)
    assert sorted(sent) == ["1", "2"]
    with UnitOfWork(engine) as session:
        tries = session.scalars(select(OutgoingMail.tries).order_by(OutgoingMail.tries)).all()
    assert tries == [1, 1, outbox.MAX_TRIES]


def test_without_a_server_mails_become_files(waiting: Engine, tmp_path: Path) -> None:
    postman(Settings(data_dir=tmp_path), waiting).run_once()
    (file,) = (tmp_path / "outbox").iterdir()
    assert (
        "abc"
        in email.message_from_bytes(file.read_bytes(), policy=email.policy.default).get_content()
    )


def test_a_wrong_url_says_what_is_wrong() -> None:
    with pytest.raises(SettingsError, match="CYMBA_SMTP_URL"):
        over_smtp("imap://example.org")


def test_mails_in_files_are_for_the_operator_alone(waiting: Engine, tmp_path: Path) -> None:
    folder = tmp_path / "outbox"
    MailSender(waiting, "Cymba <x@y.org>", into_files(folder)).run_once()
    (kept,) = folder.iterdir()
    assert (folder.stat().st_mode & 0o777, kept.stat().st_mode & 0o777) == (0o700, 0o600)


def test_whoever_looks_for_mails_in_files_finds_whole_ones(tmp_path: Path) -> None:
    class Cut(EmailMessage):
        def as_bytes(self, *_: Any, **__: Any) -> bytes:
            raise OSError("the disk is full")

    message = Cut()
    message["Message-ID"] = "<1@y.org>"
    with pytest.raises(OSError, match="full"):
        into_files(tmp_path)(message)
    assert list(tmp_path.glob("*.eml")) == []


def test_an_address_that_mail_cannot_name_is_set_aside_and_the_next_mail_leaves(
    waiting: Engine, tmp_path: Path
) -> None:
    with UnitOfWork(waiting) as session, session.begin():
        for odd in ("a@[.a", "Ana<victim@example.org", "a@b\u00fccher.example"):
            outbox.enqueue(session, account_id=None, recipient=odd, subject="s", body="b")
    MailSender(waiting, "Cymba <x@y.org>", into_files(tmp_path)).run_once()
    sent = [email.message_from_bytes(one.read_bytes())["To"] for one in tmp_path.glob("*.eml")]
    assert sorted(sent) == ["a@xn--bcher-kva.example", "ada@example.org"]
