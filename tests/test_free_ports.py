"""Two runs at once, and a server that comes back to its port."""

import subprocess
import sys

from tests import free_ports
from tests.end_to_end.parts import ROOT


def test_another_process_does_not_get_it(monkeypatch):
    port = free_ports.free_port()
    other = (
        "from tests import free_ports\n"
        f"print(free_ports._claim({port}), free_ports._claim({port + 1}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", other], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "True"]
    # Nor does this one.
    drawn = iter([port, port + 1])
    monkeypatch.setattr(free_ports.random, "randrange", lambda *_: next(drawn))
    assert free_ports.free_port() == port + 1


def test_no_outgoing_connection_gets_it():
    first = int(free_ports.OUTGOING.read_text().split()[0])
    assert free_ports.free_port() < first
