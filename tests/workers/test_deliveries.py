"""Mails leave through a real SMTP conversation, or into files; a refused one is tried again."""

import email
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, select, update

from cymba.accounts import outbox
from cymba.accounts.tables import OutgoingMail
from cymba.database import UnitOfWork, utc_now
from cymba.settings import Settings, SettingsError
from workers.deliveries import over_smtp, postman


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
    assert sender.run_once() is True
    assert sender.run_once() is False
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
    sender = postman(settings, waiting)
    waits = []
    for _ in range(3):
        assert sender.run_once() is True
        waits.append(stored(waiting).next_try_at - utc_now())
        assert sender.run_once() is False
        with UnitOfWork(waiting) as session, session.begin():
            session.execute(update(OutgoingMail).values(next_try_at=utc_now()))
    assert timedelta(seconds=40) < waits[0] < waits[1] < waits[2]
    mailbox.refuses = False
    sender.run_once()
    assert len(mailbox.received) == 1
    assert stored(waiting).tries == 4


def test_without_a_server_mails_become_files(waiting: Engine, tmp_path: Path) -> None:
    assert postman(Settings(data_dir=tmp_path), waiting).run_once()
    (file,) = (tmp_path / "outbox").iterdir()
    assert (
        "abc"
        in email.message_from_bytes(file.read_bytes(), policy=email.policy.default).get_content()
    )


def test_a_wrong_url_says_what_is_wrong() -> None:
    with pytest.raises(SettingsError, match="CYMBA_SMTP_URL"):
        over_smtp("imap://example.org")
