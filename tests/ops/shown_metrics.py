"""Every metric that some process shows, by the name under which Prometheus finds it."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Metric
from sqlalchemy import Engine

from cymba.accounts.audit import MadeMonths
from cymba.database import utc_now
from cymba.large_reads import LargeReads
from cymba.operations.devices import Backlog, RecentSessions, ReportedFirmware
from cymba.operations.log_lag import LogBehind, ReplicaBehind
from cymba.operations.queues import Queue
from cymba.settings import FIRST_CELL, Settings
from mqtt_bridge.metrics import BridgeMetrics
from ops.mosquitto_files import Follower
from ops.process_metrics import show_process
from service.http.metrics import ApiMetrics
from workers.progress import Progress
from workers.watch import Watch

# One of each kind of fact, so that nothing is left out because there is none of it.
TOLD = {
    "queue mails": Queue(1, None),
    "quarantine": {"schema": 1},
    "states": {"online": 1},
    "firmware": [ReportedFirmware("1.0", 9)],
    "backlog": Backlog(1, 1),
    "sessions": RecentSessions(1, 1, 1, 1.0),
    "audit months": MadeMonths(utc_now(), 0),
    "replica": ReplicaBehind(True, LogBehind(1, 1.0)),
    "archive": LogBehind(1, 1.0),
}


def all_metrics(engine: Engine) -> dict[str, str]:
    """What each is about, by its name without a histogram's suffixes."""
    progress = Progress()
    facts = {name: (lambda _session, _now, fact=fact: fact) for name, fact in TOLD.items()}
    Watch(engine, progress, facts=facts).run_once()
    LargeReads(engine, engine, progress.registry)
    Follower(engine, {}, FIRST_CELL).show(progress.registry)
    show_process(progress.registry, Settings(), engine)
    registries = (progress.registry, BridgeMetrics().registry, ApiMetrics().registry)
    return {
        f"{metric.name}_total" if metric.type == "counter" else metric.name: metric.documentation
        for metric in _collected(registries)
    }


def queried_names(engine: Engine) -> set[str]:
    return {
        name + suffix
        for name in all_metrics(engine)
        for suffix in ("", "_bucket", "_sum", "_count")
    } | {"up"}


def _collected(registries: Iterable[CollectorRegistry]) -> Iterable[Metric]:
    for registry in registries:
        yield from registry.collect()
