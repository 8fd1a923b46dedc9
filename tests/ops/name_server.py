"""What compose's name server says: where the processes of a service are."""

import socket
import threading
from collections.abc import Callable


class NameServer:
    """Answers questions for addresses over UDP, until it is stopped."""

    def __init__(self, addresses: Callable[[str], list[str]]) -> None:
        self.told: dict[str, list[str]] = {}  # the last answer
        self._addresses = addresses
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run, name="name server", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._socket.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        while True:
            question, asker = self._socket.recvfrom(512)
            if not question:
                return
            self._socket.sendto(self._answer(question), asker)

    def _answer(self, question: bytes) -> bytes:
        labels, at = [], 12
        while question[at]:
            labels.append(question[at + 1 : at + 1 + question[at]].decode())
            at += 1 + question[at]
        name = ".".join(labels)
        found = self.told[name] = self._addresses(name)
        head = question[:2] + b"\x81\x80\0\1" + len(found).to_bytes(2, "big") + bytes(4)
        # The name of the question, class IN, for a second.
        records = (b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4" + socket.inet_aton(one) for one in found)
        return head + question[12 : at + 5] + b"".join(records)
