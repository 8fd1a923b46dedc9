"""When traces are sent, and that nobody waits for whoever takes them."""

import os
import socket
import sys
from threading import enumerate as running_threads
from unittest.mock import patch

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from cymba import spans
from cymba.settings import SettingsError
from ops import traces
from tests.collector import collecting, collecting_here
from tests.end_to_end.parts import wait_until

NOBODY = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}


@pytest.mark.parametrize(
    "environ", [{}, {"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, NOBODY | {"OTEL_SDK_DISABLED": "true"}]
)
def test_without_a_collector_nothing_is_imported_or_kept(environ):
    with (
        patch.dict(os.environ, environ),
        patch.dict(sys.modules, {"ops.otel": None}),
        capture_logs() as logs,
        traces.sent("cymba test"),
    ):
        assert not spans.are_recorded()
        assert spans.request("GET", "/", None) is None
        assert spans.here() is None
        assert spans.span("work") is spans.statement("SELECT 1")  # one thing that does nothing
    assert logs == []


def test_without_its_libraries_it_says_so_and_goes_on():
    with (
        patch.dict(os.environ, NOBODY),
        patch.dict(sys.modules, {"ops.otel": None}),
        capture_logs() as logs,
        traces.sent("cymba test"),
    ):
        assert not spans.are_recorded()
    (line,) = logs
    assert "cymba[otel]" in line["event"]


def test_a_wrong_variable_stops_the_start():
    wrong = NOBODY | {"OTEL_BSP_MAX_QUEUE_SIZE": "-1"}
    with (
        patch.dict(os.environ, wrong),
        pytest.raises(SettingsError, match="OTEL_"),
        traces.sent("cymba test"),
    ):
        pass
    assert not spans.are_recorded()


def test_a_collector_that_never_answers_holds_up_nobody():
    """More spans than the queue takes, and the end while the sender still waits."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        environ = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "10",
            "OTEL_BSP_SCHEDULE_DELAY": "1",
        }
        with patch.dict(os.environ, environ), patch("ops.otel.STOP_S", 0.05):
            with traces.sent("cymba test"):
                with spans.span("first"):
                    pass
                held, _ = silent.accept()  # it is being sent
                for _ in range(3_000):
                    with spans.span("more"):
                        pass
            waits = [one for one in running_threads() if one.name == "last spans"]
            assert waits
            assert waits[0].daemon
        held.close()


def test_what_is_lost_shows_in_the_metrics():
    """With nobody to send to, and with a collector."""
    registry = CollectorRegistry()
    traces.show_counts(registry)

    def counts():
        names = ("cymba_spans_made_total", "cymba_spans_sent_total")
        return [registry.get_sample_value(name) for name in names]

    environ = NOBODY | {"OTEL_EXPORTER_OTLP_TIMEOUT": "0.1"}
    with patch.dict(os.environ, environ), traces.sent("cymba test"), spans.span("lost"):
        pass
    assert counts() == [1, 0]
    with collecting_here(), spans.span("work"):
        pass
    wait_until(lambda: counts() == [2, 1], what=lambda: f"it is sent: {counts()}")


def test_a_worker_tells_of_its_rounds_and_sends_the_last_one_before_it_ends(cymba, settings):
    with collecting() as collector:
        late = collector.environ | {"OTEL_BSP_SCHEDULE_DELAY": "600000"}
        assert cymba("seal", "--once", settings=settings, environ=late).returncode == 0
        told = collector.wait_for("round")
        assert collector.below(told)
        assert collector.processes() == {"cymba seal"}


def test_the_operators_name_for_it_comes_first(monkeypatch):
    monkeypatch.setenv("OTEL_SERVICE_NAME", "household")
    with collecting_here() as collector, spans.span("work"):
        pass
    collector.wait_for("work")
    assert collector.processes() == {"household"}
