"""The bridge's metrics for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

# Seconds. They are finest around the goals: a p50 of 3 ms and a p99 of 20 ms.
SECONDS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5, 30, 120)
BATCH_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)


class BridgeMetrics:
    """One set for each bridge, with a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        self.queue_depth = Gauge(
            "cymba_bridge_queue_depth", "Deliveries that wait for the writer.", registry=registry
        )
        self.reading_held = Gauge(
            "cymba_bridge_reading_held",
            "1 while the full queue holds back the reading of the broker's socket.",
            registry=registry,
        )
        self.oldest_waiting = Gauge(
            "cymba_bridge_oldest_waiting_seconds",
            "How long the oldest frame that is not committed has waited.",
            registry=registry,
        )
        self.connection = Gauge(
            "cymba_bridge_connected", "1 while connected to the broker.", registry=registry
        )
        self.settled = Gauge(
            "cymba_bridge_settled",
            "1 while the broker holds no backlog for this bridge, by its loopback probe.",
            registry=registry,
        )
        self.connections = Counter(
            "cymba_bridge_connections", "Connections made to the broker.", registry=registry
        )
        self.echoes_lost = Counter(
            "cymba_bridge_echoes_lost",
            "Connections cut because the broker delivered nothing.",
            registry=registry,
        )
        self.batch_size = Histogram(
            "cymba_bridge_batch_size", "Deliveries in a transaction.",
            buckets=BATCH_SIZES, registry=registry,
        )  # fmt: skip
        self.commit_seconds = Histogram(
            "cymba_bridge_commit_seconds", "Time of a whole transaction, its commit included.",
            buckets=SECONDS, registry=registry,
        )  # fmt: skip
        self.lag_seconds = Histogram(
            "cymba_bridge_lag_seconds",
            "From arrival to commit, of the delivery of a batch that waited longest.",
            buckets=SECONDS,
            registry=registry,
        )
        self.database_failures = Counter(
            "cymba_bridge_database_failures",
            "Transactions that failed and were tried again.",
            registry=registry,
        )
        self.stored = Counter("cymba_bridge_frames_stored", "Frames stored.", registry=registry)
        self.fast = Counter(
            "cymba_bridge_frames_fast", "Frames stored by the fast path.", registry=registry
        )
        self.duplicates = Counter(
            "cymba_bridge_frames_duplicate", "Frames stored already.", registry=registry
        )
        self.quarantined = Counter(
            "cymba_bridge_frames_quarantined", "Frames quarantined.", ["code"], registry=registry
        )
        self.refused = Counter(
            "cymba_bridge_frames_refused", "Frames to be sent again later.", ["code"],
            registry=registry,
        )  # fmt: skip
        self.held_off = Counter(
            "cymba_bridge_frames_held_off", "Frames of devices that send too fast.",
            registry=registry,
        )  # fmt: skip
        self.messages_held_off = Counter(
            "cymba_bridge_messages_held_off",
            "Messages other than frames that were dropped, of devices that send too many.",
            ["subject"], registry=registry,
        )  # fmt: skip
        self.suspended = Counter(
            "cymba_bridge_devices_suspended", "Devices kept out because they flood the broker.",
            registry=registry,
        )  # fmt: skip
        self.published = Counter(
            "cymba_bridge_retained_published", "Retained messages that the broker confirmed.",
            registry=registry,
        )  # fmt: skip
        self.failed = Counter(
            "cymba_bridge_deliveries_failed",
            "Deliveries that no transaction could take in; their devices send them again.",
            registry=registry,
        )
        self.malformed = Counter(
            "cymba_bridge_messages_malformed", "Messages other than frames that were malformed.",
            ["subject"], registry=registry,
        )  # fmt: skip
        self.unknown_programmes = Counter(
            "cymba_bridge_programmes_unknown",
            "Reports of programme versions that were never set: a restored backup, or a lie.",
            registry=registry,
        )
        self.resent = Counter(
            "cymba_bridge_resent", "Deliveries that the broker marked as sent again.",
            registry=registry,
        )  # fmt: skip
        self.left = Counter(
            "cymba_bridge_left", "Deliveries left to the broker while stopping.", registry=registry
        )

    def connected(self, _number: int) -> None:
        self.connections.inc()
