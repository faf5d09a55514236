"""What the fleet counts, in a registry of its own; rendered by the pages at ``/metrics``.

Aggregates only: series per cabinet would block the loop at tens of thousands of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from fleet.core.ingest import Verdict
from fleet.core.offline import FLAGS

_COMMIT_BUCKETS_S = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 3.0)
_SWAP_BUCKETS_S = (5, 10, 20, 30, 45, 60, 90, 120, 180, 300, 600)
#: Always there, so that a rule about them has something to look at, and never crowded out.
_ALARM_CODES: Final = (
    "smoke",
    "flood",
    "e-stop",
    "over-temperature",
    "temperature-rise",
    "slot-air-trip",
    "cell-hot",
    "door-left-open",
)
ALARM_CODES_MAX: Final = 60
#: A counter that begins to exist with its first event has not risen, as Prometheus sees it.
_ENDS: Final = ("completed", "rejected", "cancelled", "faulted")
_DROPS: Final = ("stranger", "malformed", "overload")
POISON: Final = "poison"
#: Parts without which fleetd serves nobody, as ``/readyz`` names them.
PARTS: Final = ("broker", "store")


class FleetMetrics:
    """All series of one fleetd."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._swap_series()
        self._cabinet_series()
        self._log_series()
        self._ingest_series()
        self._begin_at_zero()
        self._alarm_codes = list(_ALARM_CODES)
        self.set_alarms({})

    def _swap_series(self) -> None:
        """What becomes of transactions."""
        self.swap_attempts = Counter(
            "swap_attempts_total",
            "Transactions asked for, by what became of them",
            ["result"],
            registry=self.registry,
        )
        self.swap_seconds = Histogram(
            "swap_duration_seconds",
            "From the rider's tap to the end of the transaction",
            ["result"],
            buckets=_SWAP_BUCKETS_S,
            registry=self.registry,
        )
        self.swaps_by_authority = Counter(
            "swap_authority_total",
            "Ended transactions, by whose authority they began: the fleet's, a code's, a ticket's",
            ["authority"],
            registry=self.registry,
        )
        self.swaps_flagged = Counter(
            "swap_flagged_total",
            "Ended transactions that an operator should look into, by reason",
            ["flag"],
            registry=self.registry,
        )

    def _cabinet_series(self) -> None:
        """How cabinets are, and what is sent to them."""
        self.cabinets = Gauge(
            "cabinet_up", "Cabinets by connection state", ["state"], registry=self.registry
        )
        self.alarms = Gauge(
            "cabinet_alarms_standing",
            "Cabinets that tell of an alarm, by its code",
            ["code"],
            registry=self.registry,
        )
        self.commands = Counter(
            "unlock_commands_total",
            "Commands to cabinets, by how they ended",
            ["result"],
            registry=self.registry,
        )
        self.commands_sent = Counter(
            "commands_sent_total", "Commands published, repeats included", registry=self.registry
        )
        self.rollouts_unreadable = Gauge(
            "rollouts_unreadable",
            "Roll-outs under way that are not moved on, because what is stored cannot be read",
            registry=self.registry,
        )
        self.settings_unsent = Gauge(
            "settings_unsent_cabinets",
            "Cabinets whose settings are stored and not with the broker yet",
            registry=self.registry,
        )

    def _log_series(self) -> None:
        """The log of orders, and the store."""
        self.audit_rows = Gauge(
            "audit_log_rows", "Rows of the log of orders; never falls", registry=self.registry
        )
        self.audit_head = Gauge(
            "audit_log_head",
            "First 48 bits of the hash of the log's last row; always the same for a number of rows",
            registry=self.registry,
        )
        self.audit_broken = Gauge(
            "audit_log_broken",
            "1 while rows of the log of orders that were anchored are gone or changed",
            registry=self.registry,
        )
        self.part_up = Gauge(
            "fleetd_part_up",
            "0 while a part is missing that fleetd cannot do without",
            ["part"],
            registry=self.registry,
        )
        self.renewals = Counter(
            "ledger_renewals_total",
            "Times that the store was found to be an older copy, and cabinets were asked again",
            registry=self.registry,
        )

    def _ingest_series(self) -> None:
        """What comes in."""
        self.events = Counter(
            "ingest_events_total",
            "Events received, by verdict",
            ["verdict"],
            registry=self.registry,
        )
        self.events_dropped = Counter(
            "ingest_dropped_total",
            "Messages dropped before they were stored, by reason",
            ["reason"],
            registry=self.registry,
        )
        self.commit_seconds = Histogram(
            "ingest_commit_seconds",
            "From the arrival of the oldest event of a batch to its commit",
            buckets=_COMMIT_BUCKETS_S,
            registry=self.registry,
        )
        self.telemetry = Counter(
            "telemetry_messages_total", "Telemetry messages received", registry=self.registry
        )
        self.connects = Counter(
            "mqtt_connects_total",
            "Connections to the broker that came up",
            ["link"],
            registry=self.registry,
        )

    def _begin_at_zero(self) -> None:
        """What rules look at is there before the first of its kind happens."""
        for counter, values in (
            (self.swap_attempts, _ENDS),
            (self.swaps_flagged, FLAGS),
            (self.events, (*Verdict, POISON)),
            (self.events_dropped, _DROPS),
        ):
            for value in values:
                counter.labels(value)
        for part in PARTS:
            self.part_up.labels(part).set(1)

    def set_cabinets(self, online: int, total: int) -> None:
        """Update the aggregate of connection states."""
        self.cabinets.labels("online").set(online)
        self.cabinets.labels("offline").set(total - online)

    def set_alarms(self, counts: Mapping[str, int]) -> None:
        """Update the standing alarms. Codes come from outside: beyond a number they are ``other``."""
        for code in sorted(counts):
            if code not in self._alarm_codes and len(self._alarm_codes) < ALARM_CODES_MAX:
                self._alarm_codes.append(code)
        known = {code: counts.get(code, 0) for code in self._alarm_codes}
        known["other"] = sum(counts.values()) - sum(known.values())
        for code, number in known.items():
            self.alarms.labels(code).set(number)

    def render(self) -> bytes:
        """The text format of Prometheus."""
        return generate_latest(self.registry)
