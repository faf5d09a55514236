"""How the objects of a running fleetd hang together; `fleet.service` starts and ends them."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, Final

import uvicorn

from fleet import places
from fleet.adapters.broker import EmbeddedBroker
from fleet.adapters.broker_files import FLEET_USER, TELEMETRY_USER
from fleet.adapters.clock import DayClock, SteadyClock, SystemClock
from fleet.adapters.command_keys import SecretKeeper
from fleet.adapters.external_broker import Revocations
from fleet.adapters.http_post import post
from fleet.adapters.mqtt import BrokerAddress, MqttLink
from fleet.adapters.secret_files import group_keys, phone_key
from fleet.area import Area
from fleet.checks import Check
from fleet.config import FleetConfig
from fleet.console import ConsoleSide
from fleet.device import DeviceSide
from fleet.errors import FleetError
from fleet.ordering import Ordering
from fleet.parts import Parts
from fleet.ready import external_address
from fleet.runtime.balance import BalanceService
from fleet.runtime.cabinets import CabinetService
from fleet.runtime.commands import Commands, new_id
from fleet.runtime.desired import DesiredPublisher, RegisterWatch, SecretsNote
from fleet.runtime.hub import Hub
from fleet.runtime.ingest import Ingest
from fleet.runtime.live import LivePicture
from fleet.runtime.metrics import FleetMetrics
from fleet.runtime.offline import OfflineService
from fleet.runtime.operations import OperationService
from fleet.runtime.parts_watch import PartsWatch
from fleet.runtime.recorder import Overheard
from fleet.runtime.reservations import ReservationService
from fleet.runtime.riders import RiderService
from fleet.runtime.steering import SteeringService
from fleet.runtime.swaps import SwapService
from fleet.runtime.webhooks import Webhooks
from fleet.stores import Stores
from protocols import signing, topics
from protocols.fastclock import FastClock
from protocols.topics import Leaf

if TYPE_CHECKING:
    from fleet.runtime.outlook import Outlook
    from fleet.runtime.planner import Planner
    from fleet.runtime.what_if import WhatIf

#: A worker that has not ended by then is cancelled once more: a cancel can be lost on its way.
CANCEL_AGAIN_S: Final = 5.0


class Fleet:
    """The runtime objects and how they hang together."""

    def __init__(
        self,
        config: FleetConfig,
        stores: Stores,
        clock: SystemClock,
        broker: EmbeddedBroker | None,
        device: DeviceSide | None,
        *,
        incarnation: str,
    ) -> None:
        self._config = config
        self._stores = stores
        self._clock = clock
        self.fast = FastClock(config.clock_rate, config.clock_origin_ms)
        self.day = DayClock(self.fast)  # of tariffs and plans; nothing else goes by it
        self._broker = broker
        self._device = device
        self._data_dir = config.data_dir
        self._keeper = SecretKeeper(config.data_dir)
        self._keeper.check()  # made at the start, and a damaged file stops it
        self._phone_key = phone_key(config.data_dir)
        self.address, telemetry = _addresses(config, broker, device)
        self._revocations: Revocations | None = None
        if broker is None and device is not None:
            self._revocations = Revocations(device.authority, clock, self.address)
        self.metrics = FleetMetrics()
        self.swap_hub, self.cabinet_hub, self.order_hub = Hub(), Hub(), Hub()
        ages = SteadyClock()
        self.live = LivePicture(stores.cabinets, ages)
        self.console = ConsoleSide(stores, self.live, self.cabinet_hub, clock, ages)
        self.events = self._events_link()
        # A connection of its own, so that telemetry can never delay events.
        self.telemetry = self._telemetry_link(telemetry)
        heard = Overheard(self.events, self.console.recorder)
        self.commands = self._commands(heard)
        self.ingest = self._ingest(heard, incarnation)
        self.desired = self._desired()
        self.ordering = self._ordering()
        self.planner: Planner | None = None
        self.outlook: Outlook | None = None
        self.what_if: WhatIf | None = None
        self.watch = RegisterWatch(
            revisions=stores.meta,
            clock=clock,
            on_cabinets=self._new_cabinets,
            desired=self.desired,
        )

    def _events_link(self) -> MqttLink:
        return MqttLink(
            address=self.address,
            identifier=f"fleet-events-{secrets.token_hex(4)}",
            subscriptions=[
                (topics.fleet_subscription(leaf), 1)
                for leaf in (Leaf.STATUS, Leaf.EVENT, Leaf.RESULT)
            ],
            on_message=self._on_message,
            clock=self._clock,
            on_up=self._events_up,
        )

    def _telemetry_link(self, address: BrokerAddress) -> MqttLink:
        return MqttLink(
            address=address,
            identifier=f"fleet-telemetry-{secrets.token_hex(4)}",
            subscriptions=[(topics.fleet_subscription(Leaf.TELEMETRY), 0)],
            on_message=self._on_message,
            clock=self._clock,
            on_up=self._telemetry_up,
        )

    def _commands(self, heard: Overheard) -> Commands:
        return Commands(
            rows=self._stores.commands,
            publisher=heard,
            sign=lambda command: signing.sign(command, self._keeper.current),
            clock=self._clock,
            metrics=self.metrics,
            swap_hub=self.swap_hub,
            order_hub=self.order_hub,
            cabinet_hub=self.cabinet_hub,
        )

    def _ingest(self, heard: Overheard, incarnation: str) -> Ingest:
        return Ingest(
            rows=self._stores.events,
            latest=self._stores.cabinets,
            live=self.live,
            publisher=heard,
            incarnation=incarnation,
            renew=self._renew,
            clock=self._clock,
            metrics=self.metrics,
            swap_hub=self.swap_hub,
            cabinet_hub=self.cabinet_hub,
            on_result=self.commands.on_result,
        )

    def _desired(self) -> DesiredPublisher:
        return DesiredPublisher(
            rows=self._stores.cabinets,
            packs=self._stores.batteries,
            riders=self._stores.riders,
            publisher=self.events,
            sign=lambda document: signing.sign(document, self._keeper.current),
            clock=self._clock,
            secrets=self._secrets_note if self._device else None,
            settings=self._stores.rollouts,
        )

    def _ordering(self) -> Ordering:
        return Ordering.of(
            stores=self._stores,
            live=self.live,
            commands=self.commands,
            desired=self.desired,
            metrics=self.metrics,
            clock=self._clock,
            data_dir=self._data_dir,
            keeper=self._keeper,
        )

    def _operations(self) -> OperationService:
        return OperationService(
            rows=self._stores.operations,
            log=self._stores.audit_log,
            live=self.live,
            commands=self.commands,
            hub=self.order_hub,
            cabinet_hub=self.cabinet_hub,
            clock=self._clock,
        )

    @classmethod
    async def build(
        cls,
        config: FleetConfig,
        stores: Stores,
        clock: SystemClock,
        broker: EmbeddedBroker | None,
        device: DeviceSide | None,
    ) -> Fleet:
        """Make everything and read what the store remembers."""
        incarnation = await stores.meta.incarnation(new_id(clock.wall_ms()))
        fleet = cls(config, stores, clock, broker, device, incarnation=incarnation)
        await fleet.live.load()
        if config.balance.grid_file is not None:
            from fleet import balancing  # noqa: PLC0415 - heavy, and often not wanted

            service = balancing.make_service(stores, fleet.fast)
            fleet.console.records.told.append(service.turned_away)
            fleet.planner = balancing.make_planner(
                config,
                stores,
                await balancing.open_grids(config, stores, clock, fleet.day),
                live=fleet.live,
                clock=fleet.day,
                fast=fleet.fast,
                metrics=fleet.metrics,
                desired=fleet.desired,
                service=service,
            )
            fleet.outlook = balancing.make_outlook(fleet.planner, fleet.live)
            fleet.what_if = balancing.make_what_if(fleet.planner, clock)
        await fleet.commands.load()
        return fleet

    def parts(self, public_url: str) -> Parts:
        """What the pages need."""
        riders = RiderService(rows=self._stores.riders, key=self._phone_key, clock=self._clock)
        balance = None
        if self.planner and self.outlook:
            balance = BalanceService(self.planner, self.day, self.outlook, self.what_if)
            self.console.records.energy = balance.energy_day
        return Parts(
            swaps=SwapService(
                rows=self._stores.swaps,
                live=self.live,
                commands=self.commands,
                hub=self.swap_hub,
                clock=self._clock,
                metrics=self.metrics,
                turned_away=self.console.records.turned_away,
            ),
            cabinets=CabinetService(live=self.live, hub=self.cabinet_hub),
            riders=riders,
            offline=OfflineService(
                riders=riders,
                codes_key=lambda: group_keys(self._data_dir).codes,
                sign=lambda ticket: signing.sign(ticket, self._keeper.current),
                clock=self._clock,
            ),
            reservations=ReservationService(
                rows=self._stores.reservations,
                live=self.live,
                commands=self.commands,
                hub=self.cabinet_hub,
                clock=self._clock,
            ),
            area=Area.of(self._stores, self.live, self.commands, self._clock),
            ordering=self.ordering,
            console=self.console,
            operations=self._operations(),
            balance=balance,
            steering=SteeringService(self.live, self.outlook),
            stores=self._stores,
            clock=self._clock,
            day=self.day,
            metrics=self.metrics,
            checks=self._checks(),
            phone_key=self._phone_key,
            public_url=public_url,
        )

    def beside(self, public_url: str) -> list[Coroutine[Any, Any, None]]:
        """What runs for as long as the pages do, and ends after them."""
        partners = Webhooks(
            rows=self._stores.partners, post=post, key=self._phone_key, clock=self._clock
        )
        works: list[Coroutine[Any, Any, None]] = [partners.run()]
        if self._broker is not None:
            works.append(self._broker.run())
        if self._revocations is not None:
            works.append(self._revocations.run())
        if self._device is not None:
            works.append(
                self._device.serve(
                    stores=self._stores,
                    keeper=self._keeper,
                    broker_url=places.broker_url(self._config, self.address.port),
                    fleet_url=public_url,
                    on_enrolled=self._admit,
                )
            )
            works.append(self._device.keep_fresh(self._certificates_renewed))
        return works

    async def run(
        self,
        server: uvicorn.Server,
        listener: socket.socket,
        stop: asyncio.Event,
        on_ready: Callable[[], None],
        stop_pages: Callable[[], None],
    ) -> None:
        """Run everything until ``stop``; then let pages end before the rest does."""
        async with asyncio.TaskGroup() as group:
            workers = [
                group.create_task(work, name=name)
                for name, work in (
                    ("mqtt-events", self.events.run()),
                    ("mqtt-telemetry", self.telemetry.run()),
                    ("ingest", self.ingest.run()),
                    ("commands", self.commands.run()),
                    ("registers", self.watch.run(self.live.ids)),
                    ("parts", PartsWatch(self._checks(), self.metrics, self._clock).run()),
                    *((("balance", self.planner.run()),) if self.planner else ()),
                    *self.ordering.works(),
                    *self.console.works(),
                )
            ]
            pages = group.create_task(self._serve(server, listener, stop), name="pages")
            while not server.started and not pages.done():
                await self._clock.sleep(0.01)
            if server.started:
                on_ready()
            await stop.wait()
            self.swap_hub.close()
            self.cabinet_hub.close()
            self.order_hub.close()
            self.ordering.rollout_hub.close()
            stop_pages()
            server.should_exit = True
            await pages
            await end(workers)

    async def _serve(
        self, server: uvicorn.Server, listener: socket.socket, stop: asyncio.Event
    ) -> None:
        try:
            await server.serve(sockets=[listener])
        finally:
            stop.set()

    async def _renew(self) -> str:
        fresh = new_id(self._clock.wall_ms())
        await self._stores.meta.renew_incarnation(fresh)
        return fresh

    def _checks(self) -> dict[str, Check]:
        return {"broker": self._broker_ok, "store": self._store_ok}

    async def _broker_ok(self) -> bool:
        return self.events.up and self.telemetry.up

    async def _store_ok(self) -> bool:
        try:
            await self._stores.meta.revisions()
        except FleetError:
            return False
        return self.ingest.store_ok

    def _on_message(self, topic: str, payload: bytes) -> None:
        self.ingest.on_message(topic, payload)
        self.console.recorder.heard(topic, payload)

    async def _events_up(self) -> None:
        self.metrics.connects.labels("events").inc()
        self.watch.broker_up()

    async def _telemetry_up(self) -> None:
        self.metrics.connects.labels("telemetry").inc()

    async def _new_cabinets(self) -> list[str]:
        fresh = await self.live.refresh()
        await self._admit()
        self.cabinet_hub.tell(fresh)
        return fresh

    async def _admit(self) -> None:
        """Let the broker know who may connect now, and whose certificate was revoked."""
        revoked = await self._stores.enrolments.revoked(self._clock.wall_ms())
        if self._broker is not None:
            await self._broker.reload(await self._stores.cabinets.credentials(), revoked)
        elif self._revocations is not None:  # an external broker that goes by our list
            known = await self._stores.cabinets.credentials()
            shut_out = [each.username for each in known if each.enrolled is None]
            self._revocations.publish(*revoked, shut_out)

    def _secrets_note(self) -> SecretsNote:
        return SecretsNote(self._keeper.version, self._keeper.secrets.id)

    def _certificates_renewed(self) -> None:
        if self._broker is not None:
            self._broker.renew_clients()
            self._broker.hang_up()


async def end(workers: Iterable[asyncio.Task[None]]) -> None:
    """Cancel tasks until each has ended.

    Before Python 3.12 `asyncio.wait_for` can swallow a cancel that comes with its answer, and a
    daemon told to stop would then run on.
    """
    left = set(workers)
    while left:
        for worker in left:
            worker.cancel()
        _, left = await asyncio.wait(left, timeout=CANCEL_AGAIN_S)


def _addresses(
    config: FleetConfig, broker: EmbeddedBroker | None, device: DeviceSide | None
) -> tuple[BrokerAddress, BrokerAddress]:
    """Where events and where telemetry come in."""
    if broker is not None:
        return broker.address, broker.telemetry_address
    events, telemetry = (
        external_address(config.broker, device, user) for user in (FLEET_USER, TELEMETRY_USER)
    )
    return events, telemetry
