"""The fleet's ports in memory, and a real server around the pages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import httpx2
import uvicorn
from msgspec.structs import replace

from fleet.core import login
from fleet.core.distance import distance_m
from fleet.core.login import Identity, LoginCode, Verdict, Wait
from fleet.core.phones import phone_hash, phone_tail
from fleet.core.steering import Station, StationView, offers
from fleet.core.swaps import CabinetFacts, LedgerFacts, refuse
from fleet.core.views import (
    AskedView,
    CabinetView,
    MovementView,
    RiderView,
    SwapView,
)
from fleet.errors import DeniedError, FleetError, LimitedError, NotFoundError, RefusedError
from fleet.runtime.console import Board, StationPlace
from fleet.runtime.offline import OfflineService
from fleet.runtime.steering import REACH_M
from fleet.web.app import create_app, stop_streams, streams_of
from fleet.web.config import WebConfig
from fleet.web.pages import Web
from protocols import signing
from protocols.messages import (
    STEP_RANK,
    TERMINAL_STEPS,
    Door,
    Kind,
    Presence,
    SlotState,
    SlotTelemetry,
    Step,
)
from protocols.offline import rider_number
from tests.support.fleet_fakes_base import FakeCabinets, ShiftedClock, Watched
from tests.support.fleet_fakes_console import FakeRecords
from tests.support.fleet_fakes_orders import FakeOperations, FakeReservations
from tests.support.fleet_fakes_staff import OPERATOR_TOKEN, MemoryStaff
from tests.support.fleet_fakes_views import memory_views
from tests.support.fleet_fakes_whole import FakeAsks, FakeQuarantines, FakeRollouts

__all__ = ["OPERATOR_TOKEN", "Town", "WebConfig", "cabinet", "serving", "slot"]

KEY: Final = b"k" * 32
GROUP_KEY: Final = b"g" * 32
COMMAND_KEYS: Final = signing.generate()
LOCAL_TOKEN: Final = "local-token-of-tests"
DEADLINE_S: Final = 60.0


class FakeRiders:
    """``fleet.ports.Riders``."""

    def __init__(self) -> None:
        self.views: dict[str, RiderView] = {}
        self.phones: dict[str, str] = {}

    def add(self, phone: str, *serials: str) -> RiderView:
        rider = RiderView(
            id=f"R{len(self.views) + 1:012d}",
            phone_tail=phone_tail(phone),
            serials=serials,
            number=rider_number(len(self.views) + 1_234_567),
        )
        self.views[rider.id] = rider
        self.phones[phone] = rider.id
        return rider

    def give(self, rider_id: str, *serials: str) -> None:
        self.views[rider_id] = replace(self.views[rider_id], serials=serials)

    def deny(self, rider_id: str) -> None:
        self.views[rider_id] = replace(self.views[rider_id], denied=True)

    async def get(self, rider_id: str) -> RiderView:
        if rider_id not in self.views:
            raise NotFoundError(f"no rider {rider_id}")
        return self.views[rider_id]

    async def by_phone(self, phone: str, *, create: bool) -> RiderView | None:
        if phone in self.phones:
            return self.views[self.phones[phone]]
        return self.add(phone) if create else None


class FakeSwaps:
    """``fleet.ports.Swaps``; ``move`` is what the cabinet reports."""

    def __init__(self, cabinets: FakeCabinets, riders: FakeRiders, clock: ShiftedClock) -> None:
        self.views: dict[str, SwapView] = {}
        self.keys: dict[tuple[str, str], str] = {}
        self.watched = Watched()
        self.resumed: list[str] = []
        self.cancelled: list[str] = []
        self.given_back: list[str] = []
        self.served: list[dict[str, Any]] = []
        self.refusal: str | None = None
        self._cabinets = cabinets
        self._riders = riders
        self._clock = clock

    async def start(
        self, *, rider_id: str, cabinet_id: str, kind: Kind, idempotency_key: str
    ) -> SwapView:
        known = self.keys.get((rider_id, idempotency_key))
        if known is not None:
            return self.views[known]
        cabinet = await self._cabinets.get(cabinet_id)
        facts = CabinetFacts(
            cabinet.online,
            cabinet.age_ms,
            cabinet.full,
            cabinet.empty,
            cabinet.alarms,
            cabinet.active_swap,
        )
        opened = next(
            (v.id for v in self.views.values() if v.rider_id == rider_id and not v.done), None
        )
        rider = self._riders.views[rider_id]
        code = self.refusal or refuse(kind, facts, LedgerFacts(rider.serials, opened))
        if code is not None:
            raise RefusedError(f"refused: {code}", code=code)
        now_ms = self._clock.wall_ms()
        swap = SwapView(
            id=f"01JD{len(self.views):022d}",
            cabinet_id=cabinet_id,
            rider_id=rider_id,
            kind=kind,
            step=None,
            rank=0,
            done=False,
            created_ms=now_ms,
            updated_ms=now_ms,
        )
        self.keys[rider_id, idempotency_key] = swap.id
        return self._put(swap)

    def move(self, swap_id: str, step: Step, **values: Any) -> SwapView:
        swap = replace(
            self.views[swap_id],
            step=step,
            rank=STEP_RANK[step],
            done=step in TERMINAL_STEPS,
            updated_ms=self._clock.wall_ms(),
            **values,
        )
        return self._put(swap)

    def _put(self, swap: SwapView) -> SwapView:
        self.views[swap.id] = swap
        self.watched.tell(swap.id, swap)
        return swap

    async def serve(self, **asked: Any) -> SwapView:
        self.served.append(asked)
        if self.refusal:
            raise RefusedError("refused", code=self.refusal)
        return self._put(
            SwapView(
                id=f"01JD{len(self.views):022d}",
                cabinet_id=asked["cabinet_id"],
                rider_id=asked["technician"],
                kind=asked["kind"],
                step=None,
                rank=0,
                done=False,
                created_ms=self._clock.wall_ms(),
                updated_ms=self._clock.wall_ms(),
            )
        )

    async def resume(self, *, swap_id: str, rider_id: str) -> SwapView:
        swap = await self._own(swap_id, rider_id)
        if self.refusal:
            raise RefusedError("refused", code=self.refusal)
        self.resumed.append(swap_id)
        return swap

    async def give_back(self, *, swap_id: str, rider_id: str) -> SwapView:
        swap = await self._own(swap_id, rider_id)
        if self.refusal:
            raise RefusedError("refused", code=self.refusal)
        self.given_back.append(swap_id)
        asked = AskedView(type="swap.give-back", outcome="accepted")
        return self._put(replace(swap, asked=asked))

    async def cancel(self, *, swap_id: str, rider_id: str) -> SwapView:
        await self._own(swap_id, rider_id)
        self.cancelled.append(swap_id)
        return self.move(swap_id, Step.CANCELLED, reason="rider")

    async def _own(self, swap_id: str, rider_id: str) -> SwapView:
        swap = await self.get(swap_id)
        if swap.rider_id != rider_id:
            raise DeniedError("not yours")
        return swap

    async def get(self, swap_id: str) -> SwapView:
        if swap_id not in self.views:
            raise NotFoundError(f"no swap {swap_id}")
        return self.views[swap_id]

    async def of_rider(self, rider_id: str, limit: int = 20) -> list[SwapView]:
        own = [swap for swap in self.views.values() if swap.rider_id == rider_id]
        return sorted(own, key=lambda swap: swap.id, reverse=True)[:limit]

    async def flagged(self, limit: int = 20) -> list[SwapView]:
        return [swap for swap in self.views.values() if swap.flags][:limit]

    @asynccontextmanager
    async def watch(self, swap_id: str) -> AsyncIterator[AsyncIterator[SwapView]]:
        async with self.watched.watch(swap_id, await self.get(swap_id)) as views:
            yield views


class MemoryAccounts:
    """``fleet.ports.Accounts`` by the real rules."""

    def __init__(self) -> None:
        self.codes: dict[str, LoginCode] = {}
        self.sessions: dict[str, tuple[Identity, int]] = {}
        self.next_code = 123_456

    async def ask_code(self, phone: str, now_ms: int) -> str:
        key = phone_hash(KEY, phone)
        code = login.code_from(self.next_code)
        answer = login.ask(self.codes.get(key), login.code_hash(KEY, key, code), now_ms)
        if isinstance(answer, Wait):
            raise LimitedError("wait", retry_after_s=answer.retry_after_s)
        self.codes[key] = answer
        return code

    async def drop_code(self, phone: str) -> None:
        self.codes.pop(phone_hash(KEY, phone), None)

    async def check_code(self, phone: str, code: str, now_ms: int) -> Verdict:
        key = phone_hash(KEY, phone)
        typed = login.code_hash(KEY, key, code)
        verdict, kept = login.check(self.codes.get(key), typed, now_ms)
        if kept is not None:
            self.codes[key] = kept
        return verdict

    async def open_session(self, identity: Identity, now_ms: int) -> str:
        token = f"token-{len(self.sessions)}-{'x' * 32}"
        self.sessions[login.token_hash(token)] = (identity, now_ms + login.SESSION_LIFE_MS)
        return token

    async def identity(self, token: str, now_ms: int) -> Identity | None:
        found = self.sessions.get(login.token_hash(token))
        return found[0] if found and found[1] > now_ms else None

    async def close_session(self, token: str) -> None:
        self.sessions.pop(login.token_hash(token), None)


class FakeSms:
    """Keeps what it should send."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []
        self.broken = False

    async def send(self, phone: str, text: str) -> None:
        if self.broken:
            raise FleetError("no network", code="sms-failed")
        self.sent.append((phone, text))


class FakeSteering:
    """The real weighing over the fake cabinets."""

    def __init__(self, cabinets: FakeCabinets) -> None:
        self._cabinets = cabinets

    async def near(self, lat: float, lon: float, count: int) -> list[StationView]:
        stations = [
            Station(
                each.id,
                each.name,
                distance_m(lat, lon, each.lat, each.lon),
                each.full,
                each.empty,
            )
            for each in await self._cabinets.all()
            if each.lat is not None and each.lon is not None and each.online
        ]
        return offers((each for each in stations if each.distance_m <= REACH_M), count)


@dataclass
class Town:
    """All fakes, and the running server's address."""

    clock: ShiftedClock = field(default_factory=ShiftedClock)
    cabinets: FakeCabinets = field(default_factory=FakeCabinets)
    riders: FakeRiders = field(default_factory=FakeRiders)
    accounts: MemoryAccounts = field(default_factory=MemoryAccounts)
    sms: FakeSms = field(default_factory=FakeSms)
    ready: dict[str, bool] = field(default_factory=lambda: {"store": True, "broker": True})
    url: str = ""
    app: Any = None
    balance: Any = None
    views: Any = field(default_factory=memory_views)
    area: Any = None  # sockets, stations, reports
    membership: Any = None
    charts: Any = None
    staff: Any = field(default_factory=MemoryStaff)
    provider: Any = None
    station_places: list[StationPlace] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.swaps = FakeSwaps(self.cabinets, self.riders, self.clock)
        self.steering = FakeSteering(self.cabinets)
        self.operations = FakeOperations(self.cabinets, self.clock)
        self.reservations = FakeReservations(self.cabinets, self.clock)
        self.asks = FakeAsks(self.cabinets, self.operations, self.clock)
        self.quarantines = FakeQuarantines()
        self.rollouts = FakeRollouts(self.clock)
        self.cabinets.clock = self.clock

        async def stations() -> list[StationPlace]:
            return self.station_places

        self.board = Board(self.cabinets, self.cabinets.hub, self.clock, stations, tick_s=0.05)
        self.records = FakeRecords(self.board)

    def make_app(self, **config: Any) -> Any:
        async def store() -> bool:
            return self.ready["store"]

        async def broker() -> bool:
            return self.ready["broker"]

        values: dict[str, Any] = {
            "public_url": "http://yizhan.example:8080",
            "local_token": LOCAL_TOKEN,
            "support_phone": "400-000-0000",
        }
        web_config = WebConfig(**(values | config))
        web = Web(
            swaps=self.swaps,
            cabinets=self.cabinets,
            riders=self.riders,
            offline=OfflineService(
                riders=self.riders,
                codes_key=lambda: GROUP_KEY,
                sign=lambda ticket: signing.sign(ticket, COMMAND_KEYS[0]),
                clock=self.clock,
            ),
            operations=self.operations,
            reservations=self.reservations,
            steering=self.steering,
            accounts=self.accounts,
            clock=self.clock,
            sms=self.sms,
            config=web_config,
            streams=streams_of(web_config),
            metrics_text=lambda: b"# HELP up Whether it is up.\n# TYPE up gauge\nup 1\n",
            checks={"store": store, "broker": broker},
            console=self.board,
            records=self.records,
            balance=self.balance,
            sockets=getattr(self.area, "sockets", None),
            stations=getattr(self.area, "stations", None),
            reports=getattr(self.area, "reports", None),
            membership=self.membership,
            charts=self.charts,
            asks=self.asks,
            quarantines=self.quarantines,
            rollouts=self.rollouts,
            staff=self.staff,
            provider=self.provider,
            views=self.views,
        )
        return create_app(web)

    def client(self, **values: Any) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(base_url=self.url, trust_env=False, timeout=DEADLINE_S, **values)

    async def log_in(self, client: httpx2.AsyncClient, phone: str = "+8613800138000") -> None:
        reply = await client.post("/api/v1/login/code", json={"phone": phone})
        assert reply.status_code == 202, reply.text
        reply = await client.post("/api/v1/login", json={"phone": phone, "code": "123456"})
        assert reply.status_code == 200, reply.text

    def movement(self, number: int, serial: str, source: str, target: str) -> MovementView:
        return MovementView(
            id=number,
            serial=serial,
            from_holder=source,
            to_holder=target,
            at_ms=self.clock.wall_ms(),
        )


@asynccontextmanager
async def serving(town: Town, **config: Any) -> AsyncIterator[Town]:
    """A real server on a free port; it must stop within the deadline though streams are open."""
    town.app = town.make_app(**config)
    server = uvicorn.Server(
        uvicorn.Config(town.app, port=0, log_level="warning", access_log=False, lifespan="off")
    )
    task = asyncio.create_task(server.serve())
    board = asyncio.create_task(town.board.run())
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not server.started:
                assert not task.done(), "the server did not start"
                await asyncio.sleep(0.01)
        town.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        yield town
    finally:
        stop_streams(town.app)
        server.should_exit = True
        async with asyncio.timeout(DEADLINE_S):
            await task
        board.cancel()


# --- a cabinet ----------------------------------------------------------------------------------


def slot(number: int, state: SlotState, soc_pct: int | None = None, **values: Any) -> SlotTelemetry:
    """One slot; a charge means a pack in it."""
    pack = soc_pct is not None
    given: dict[str, Any] = {
        "slot": number,
        "state": state,
        "door": Door.CLOSED,
        "presence": Presence.PRESENT if pack else Presence.ABSENT,
        "serial": f"YZ48-{number:06d}" if pack else None,
        "soc_pct": soc_pct,
        "pack_voltage_v": 48.0 + number / 4 if pack else None,
        "cell_temp_c": 24.5 + number if pack else None,
        "air_temp_c": 22.0 + number / 2,
        "charge_power_w": 280.0 if state is SlotState.CHARGING else 0.0,
    }
    return SlotTelemetry(**(given | values))


def cabinet(cabinet_id: str = "DH-0001", name: str = "东湖路驿站", **values: Any) -> CabinetView:
    """Twelve slots with something of everything."""
    slots = (
        *(slot(n, SlotState.READY, soc) for n, soc in ((1, 100), (2, 98), (3, 97), (4, 100))),
        *(slot(n, SlotState.CHARGING, soc) for n, soc in ((5, 82), (6, 64), (7, 41))),
        slot(8, SlotState.WAITING, 23),
        slot(9, SlotState.FAULTED, 55, flags=("cell-hot",)),
        *(slot(n, SlotState.EMPTY) for n in (10, 11, 12)),
    )
    given: dict[str, Any] = {
        "id": cabinet_id,
        "name": name,
        "slots_total": 12,
        "online": True,
        "age_ms": 1_200,
        "slots": slots,
        "full": 4,
        "empty": 3,
        "power_w": 842.0,
        "power_limit_w": 3_000,
        "temp_c": 27.4,
        "software": "0.1.0",
        "lat": 31.23,
        "lon": 121.47,
    }
    return CabinetView(**(given | values))
