"""Composition of what people order beyond one slot: two-person orders, quarantine, roll-outs, the anchor."""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleet.adapters.anchor_file import AnchorFile
from fleet.adapters.command_keys import SecretKeeper
from fleet.ports import Clock
from fleet.runtime.anchor import AnchorKeeper
from fleet.runtime.asks import AskService
from fleet.runtime.commands import Commands
from fleet.runtime.desired import DesiredPublisher
from fleet.runtime.hub import Hub
from fleet.runtime.live import LivePicture
from fleet.runtime.metrics import FleetMetrics
from fleet.runtime.quarantine import QuarantineService
from fleet.runtime.rollouts import RolloutService
from fleet.stores import Stores


@dataclass(frozen=True, slots=True)
class Ordering:
    """One of each."""

    asks: AskService
    quarantines: QuarantineService
    rollouts: RolloutService
    anchor: AnchorKeeper
    rollout_hub: Hub

    @classmethod
    def of(
        cls,
        *,
        stores: Stores,
        live: LivePicture,
        commands: Commands,
        desired: DesiredPublisher,
        metrics: FleetMetrics,
        clock: Clock,
        data_dir: Path,
        keeper: SecretKeeper,
    ) -> Ordering:
        """Over these parts."""
        hub = Hub()
        return cls(
            asks=AskService(rows=stores.asks, live=live, commands=commands, clock=clock),
            quarantines=QuarantineService(
                rows=stores.quarantines,
                outbox=stores.commands,
                live=live,
                commands=commands,
                clock=clock,
            ),
            rollouts=RolloutService(
                rows=stores.rollouts,
                live=live,
                publish=desired.publish_configs,
                hub=hub,
                clock=clock,
                metrics=metrics,
            ),
            anchor=AnchorKeeper(
                rows=stores.audit_log,
                file=AnchorFile(data_dir, keeper),
                clock=clock,
                metrics=metrics,
            ),
            rollout_hub=hub,
        )

    def works(self) -> tuple[tuple[str, Coroutine[Any, Any, None]], ...]:
        """What runs as long as fleetd does, by name."""
        return (
            ("quarantine", self.quarantines.run()),
            ("rollouts", self.rollouts.run()),
            ("anchor", self.anchor.run()),
        )
