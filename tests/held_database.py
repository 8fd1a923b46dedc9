"""A database whose answers the test holds back or swallows, as a bad network does."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sqlalchemy.engine import make_url


class HeldDatabase:
    """Stands before the PostgreSQL at `url`; what that answers goes on only while `answers`."""

    def __init__(self, url: str) -> None:
        self._behind = make_url(url)
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        self.url = self._behind.set(host="127.0.0.1", port=port, query={}).render_as_string(
            hide_password=False
        )
        self.answers = threading.Event()
        self.answers.set()
        self._accepted = self._swallowed = 0
        self._lines: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def swallow(self) -> None:
        """As a failover or a NAT that forgot: the connections that are open now stay open, and
        nothing that is sent over them arrives any more. New ones work."""
        self._swallowed = self._accepted

    def die(self) -> None:
        """As its machine: all connections end, and new ones are refused."""
        self.stop()
        for line in self._lines:
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        self.answers.set()
        # What waits in `accept` would hold the port.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # it is closed
            server = socket.socket(socket.AF_UNIX)
            server.connect(f"{self._behind.query['host']}/.s.PGSQL.5432")
            self._accepted += 1
            self._lines += [client, server]
            for ends in ((client, server), (server, client)):
                threading.Thread(
                    target=self._carry, args=(*ends, self._accepted), daemon=True
                ).start()

    def _carry(self, source: socket.socket, sink: socket.socket, number: int) -> None:
        is_answer = source.family == socket.AF_UNIX
        try:
            while data := source.recv(65_536):
                if is_answer:
                    self.answers.wait()
                if number > self._swallowed:
                    sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            source.close()
            sink.close()


@contextmanager
def held_database(url: str) -> Iterator[HeldDatabase]:
    held = HeldDatabase(url)
    try:
        yield held
    finally:
        held.stop()
