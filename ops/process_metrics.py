"""What every process shows of itself: which build it is, how full its pool is, and how many spans
of its traces it has sent."""

from importlib.metadata import version

from prometheus_client import CollectorRegistry, Gauge
from sqlalchemy import Engine, event
from sqlalchemy.pool import QueuePool

from cymba.settings import Settings
from ops import traces


def show_process(registry: CollectorRegistry, settings: Settings, engine: Engine) -> None:
    """Add to `registry` the build, and the pool of `engine` at each moment."""
    Gauge(
        "cymba_build_info", "1, by the version and the build of this process.",
        ["version", "build"], registry=registry, multiprocess_mode="livemax",
    ).labels(version("cymba"), settings.build or "").set(1)  # fmt: skip
    traces.show_counts(registry)
    in_use = Gauge(
        "cymba_database_connections_in_use", "Connections of the pool that are in use.",
        registry=registry, multiprocess_mode="livesum",
    )  # fmt: skip
    most = Gauge(
        "cymba_database_connections_most", "Connections that the pool opens at most.",
        registry=registry, multiprocess_mode="livesum",
    )  # fmt: skip
    pool = engine.pool
    assert isinstance(pool, QueuePool)  # noqa: S101 - for mypy
    most.set(2 * pool.size())  # as `make_engine` has it
    in_use.set(pool.checkedout())
    # A number that is set anew each time stays right, whichever of these events is left out.
    event.listen(engine, "checkout", lambda *_: in_use.set(pool.checkedout()))
    event.listen(engine, "checkin", lambda *_: in_use.set(pool.checkedout() - 1))
