"""The composition root of ``cabinetd run``: every part is made here and handed its neighbours."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import signal
from collections.abc import Callable, Coroutine, Iterator
from importlib.metadata import version
from typing import Any, Final

import uvicorn

from cabinet.adapters.clock import SystemClock
from cabinet.adapters.devices import DRIVERS
from cabinet.adapters.notify import Notifier
from cabinet.adapters.scanner import LineScanner
from cabinet.adapters.session_file import SessionFile
from cabinet.adapters.store import Store
from cabinet.adapters.store_schema import STORE_FILE
from cabinet.adapters.voice import VoiceFiles
from cabinet.config import Config, SocketConfig
from cabinet.config_devices import Role
from cabinet.config_fits import fits_of
from cabinet.core.charge import PackLimits
from cabinet.core.delivery import sender_of
from cabinet.core.engine import Engine, EngineConfig, Outcome
from cabinet.core.model import Input
from cabinet.core.records import Restored
from cabinet.core.safety_limits import Limits
from cabinet.core.sockets import SocketLimits
from cabinet.core.swap_model import ACTIVE, job_of
from cabinet.errors import CabinetError, ConfigError, StoreError, StoreFault
from cabinet.fleet_link import FIRST_EPOCH, link_of, verify_of
from cabinet.runtime.bus_status import bus_status
from cabinet.runtime.housekeeping import keep_small
from cabinet.runtime.kiosk import KioskDesk
from cabinet.runtime.metrics import Metrics
from cabinet.runtime.poller import Wires
from cabinet.runtime.pump import Pump
from cabinet.runtime.renewal import Renewal
from cabinet.runtime.supervisor import Supervisor
from cabinet.runtime.swap_log import SwapLog
from cabinet.runtime.uplink import Uplink
from cabinet.runtime.wires_trace import decoder_of
from cabinet.status import BusStatus, Snapshot, SwapStatus, UplinkStatus
from cabinet.web.app import create_app
from cabinet.web.kiosk import KioskPages
from cabinet.web.trace import TracePages
from protocols.fastclock import FastClock

log = logging.getLogger(__name__)

SESSION_FILE: Final = "session"
CLOCK_FILE: Final = "clock-synced"
#: From a decision to a charger that has followed it, in real time.
PLAN_LEAD_MS: Final = 3_000
WEB_STOP_S: Final = 1
#: Of a cabinet without a fleet, which tells nobody.
TELEMETRY_S: Final = 5.0


class _QuietServer(uvicorn.Server):
    """Leaves the signals to the daemon."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Captures none."""
        yield


async def serve(config: Config, echo: Callable[[str], None]) -> None:
    """Run one cabinet until SIGTERM or SIGINT.

    Raises:
        ConfigError: what it names cannot be used.
        StoreError: the journal is another daemon's, or a later version's. One that is damaged or
            cannot be written is no reason to stay away: safety works without it, nothing is
            charged or opened, and the alarm says what to do.
    """
    clock = SystemClock(config.cabinet.clock, note=config.cabinet.data_dir / CLOCK_FILE)
    store = Store(config.cabinet.data_dir / STORE_FILE, make_folder=True)
    try:
        restored, trouble = await _read(store)
        daemon = _Daemon(config, clock, store, restored, trouble)
        await daemon.run(echo)
    except ExceptionGroup as group:
        if (told := _of_ours(group)) is not None:
            raise told from group
        raise
    finally:
        await store.close()


def _of_ours(group: ExceptionGroup[Exception]) -> CabinetError | None:
    """What a task has ended for, where that is told to a person; None where anything else went wrong."""
    _, strange = group.split(CabinetError)
    if strange is not None:
        return None
    first: Exception = group
    while isinstance(first, ExceptionGroup):
        first = first.exceptions[0]
    return first if isinstance(first, CabinetError) else None


async def _read(store: Store) -> tuple[Restored, str | None]:
    """What the journal knows, and why it cannot be used."""
    try:
        return await store.load(), None
    except StoreError as error:
        if error.fault in {StoreFault.IN_USE, StoreFault.TOO_NEW}:
            raise
        trouble = str(error)
    log.error("the journal fails, nothing will move: %s", trouble)
    return Restored(), trouble


class _Daemon:
    def __init__(
        self,
        config: Config,
        clock: SystemClock,
        store: Store,
        restored: Restored,
        trouble: str | None,
    ) -> None:
        self._config = config
        self._clock, self._store = clock, store
        self._started_ms = clock.monotonic_ms()
        self._software = version("yizhan")
        voice = config.voice
        self._voice = VoiceFiles(voice.dir, voice.language, voice.player) if voice else None
        self._wires = Wires(config, clock, DRIVERS, self._voice)
        self._link = link_of(config)
        epoch = self._link.epoch if self._link else FIRST_EPOCH
        engine = Engine(
            config=_engine_config(config, self._software, epoch),
            verify=verify_of(self._link),
            token=lambda: secrets.token_hex(12),
            group_keys=self._link.group_keys if self._link else (),
            fits=fits_of(config.path),
        )
        self._pump = Pump(
            engine=engine,
            state=engine.initial(restored, secrets.token_hex(8)),
            store=store,
            actuator=self._wires,
            images=self._wires,
            clock=clock,
            store_error=trouble,
            day=FastClock(config.cabinet.clock_rate, config.cabinet.clock_origin_ms),
        )
        self._renewal: Renewal | None = None
        self._uplink = self._make_uplink(engine, store, restored)
        self._kiosk = self._make_kiosk(engine)
        self._notifier = Notifier()
        self._supervisor = self._make_supervisor()
        self._metrics = Metrics(self.snapshot, self._wires.buses)
        self._pump.listen(self._metrics.on_outcome)
        self._pump.listen(SwapLog().on_outcome)
        self._stop = asyncio.Event()
        self._pump.listen(self._leave)

    async def run(self, echo: Callable[[str], None]) -> None:
        """Serve until a signal comes, or an order to start anew: systemd then does that."""
        stop = self._stop
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, stop.set)
        server = self._web_server()
        services: dict[str, Coroutine[Any, Any, None]] = {
            "pump": self._pump_when_ready(),
            "web": self._web(server, echo),
            "kiosk": self._kiosk.run(),
            "housekeeping": keep_small(self._store, self._clock),
        }
        if self._voice is not None:
            services["voice"] = self._voice.run()
        if self._uplink is not None:
            services["uplink"] = self._uplink.run()
        if self._renewal is not None:
            services["renewal"] = self._renewal.run()
        await self._supervisor.run(
            wires=self._wires.run(), services=services, ready=self._wires.ready, stop=stop
        )

    def _leave(self, outcome: Outcome) -> None:
        if outcome.state.leaving and not self._stop.is_set():
            log.warning("the fleet has ordered a restart: ending")
            self._stop.set()

    async def _pump_when_ready(self) -> None:
        """No decision before every board was made safe."""
        await self._wires.ready.wait()
        await self._pump.run()

    def _web_server(self) -> uvicorn.Server:
        web = self._config.web
        cabinet = self._config.cabinet
        home = self._link.page_url.rstrip("/") if self._link else ""
        page_url = f"{home}/c/{cabinet.id}" if home else ""
        pages = KioskPages(self._kiosk, host=web.host, page_url=page_url)
        trace = TracePages(self._wires.trace, decoder_of(self._config))
        routes = [*pages.routes(), *trace.routes()]
        app = create_app(self.snapshot, self._metrics.text, routes)
        return _QuietServer(
            uvicorn.Config(
                app,
                host=web.host,
                port=web.port,
                log_level="warning",
                access_log=False,
                lifespan="off",
                timeout_graceful_shutdown=WEB_STOP_S,
            )
        )

    async def _web(self, server: uvicorn.Server, echo: Callable[[str], None]) -> None:
        web = self._config.web
        echo(f"cabinetd {self._config.cabinet.id}: http://{web.host}:{web.port}/")
        try:
            await server.serve()
        except SystemExit as error:  # uvicorn's way to say that the port is taken
            raise ConfigError(
                f"[web] {web.host}:{web.port} cannot be used; choose another port"
            ) from error

    def _make_supervisor(self) -> Supervisor:
        turns = {name: _turn_of(bus) for name, bus in self._wires.buses.items()}
        turns["pump"] = lambda: self._pump.last_turn_ms
        return Supervisor(
            turns=turns,
            notify=self._notifier,
            watchdog_s=self._notifier.watchdog_s,
            clock=self._clock,
        )

    def _make_kiosk(self, engine: Engine) -> KioskDesk:
        cabinet, scanner = self._config.cabinet, self._config.scanner
        return KioskDesk(
            cabinet=cabinet.id,
            name=cabinet.name,
            columns=cabinet.columns,
            codes=bool(engine.group_keys),
            tickets=self._link is not None and self._link.signed,
            running=lambda: engine.running(self._pump.state),
            pump=self._pump,
            clock=self._clock,
            network=lambda: self._uplink is not None and self._uplink.status.connected,
            scanner=LineScanner(scanner.port, scanner.baud, self._clock) if scanner else None,
        )

    def _make_uplink(self, engine: Engine, store: Store, restored: Restored) -> Uplink | None:
        if self._link is None:
            return None
        broker = self._link.broker()
        self._renewal = self._link.renewal(self._clock, self._software, broker)
        if self._renewal is not None:
            self._pump.listen(self._renewal.on_outcome)
        cabinet = self._config.cabinet
        return Uplink(
            cabinet=cabinet.id,
            software=self._software,
            slots=cabinet.slots,
            broker=broker,
            pump=self._pump,
            store=store,
            clock=self._clock,
            sender=sender_of(restored, self._pump.state.durable),
            next_session=SessionFile(cabinet.data_dir / SESSION_FILE).next,
            running=lambda: engine.running(self._pump.state),
        )

    def snapshot(self) -> Snapshot:
        """The cabinet at this instant."""
        cabinet, state = self._config.cabinet, self._pump.state
        return Snapshot(
            cabinet=cabinet.id,
            name=cabinet.name,
            software=self._software,
            uptime_s=(self._clock.monotonic_ms() - self._started_ms) // 1000,
            ready=state.ready,
            store_error=self._pump.store_error,
            telemetry=self._pump.telemetry(),
            buses=tuple(self._bus_status(name) for name in self._wires.buses),
            uplink=self._uplink.status if self._uplink else UplinkStatus(),
            swap=self._swap_status(),
            stuck=self._supervisor.stuck(),
        )

    def _swap_status(self) -> SwapStatus | None:
        swap = self._pump.state.durable.swap
        job = job_of(swap)
        if job is None or not isinstance(swap, ACTIVE):
            return None
        return SwapStatus(
            swap_id=job.swap_id,
            kind=job.kind.value,
            step=type(swap).__name__,
            slot_in=job.slot_in,
            slot_out=job.slot_out,
        )

    def _bus_status(self, name: str) -> BusStatus:
        port = next(item.port for item in self._config.buses if item.name == name)
        bus, missing = self._wires.buses[name], self._wires.image().devices_offline
        return bus_status(bus, port, missing, self._clock.monotonic_ms())


def _turn_of(bus: Any) -> Callable[[], int]:
    def turn() -> int:
        return int(bus.last_turn_ms)

    return turn


def _engine_config(config: Config, software: str, epoch: int) -> EngineConfig:
    cabinet, pack = config.cabinet, config.pack
    chargers = [d.traits for d in config.devices if d.traits.role is Role.CHARGER]
    try:
        limits = Limits(
            **{
                "breaker_w": cabinet.breaker_w,
                "charge_voltage_max_v": pack.voltage_max_v,
                "estop_fitted": Input.ESTOP in config.inputs,
                **config.safety,
            }  # type: ignore[arg-type]  # checked by Limits itself
        )
        pack_limits = PackLimits(
            voltage_max_v=pack.voltage_max_v,
            current_max_a=pack.current_max_a,
            current_min_a=pack.current_min_a,
            charger_current_max_a=min(traits.current_max_a for traits in chargers),
            charger_power_max_w=min(
                traits.voltage_max_v * traits.current_max_a for traits in chargers
            ),
        )
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{config.path}: [safety] or [pack]: {error}") from error
    return EngineConfig(
        cabinet=cabinet.id,
        slots=cabinet.slots,
        software=software,
        epoch=epoch,
        plan_lead_ms=PLAN_LEAD_MS * cabinet.clock_rate,
        pack=pack_limits,
        breaker_w=cabinet.breaker_w,
        power_default_w=cabinet.power_default_w,
        power_max_w=min(cabinet.power_max_w, cabinet.breaker_w),
        quiet_power_w=cabinet.breaker_w,
        utc_offset_min=cabinet.utc_offset_min,
        telemetry_s=config.fleet.telemetry_s if config.fleet else TELEMETRY_S,
        target_soc_pct=cabinet.target_soc_pct,
        offer_soc_pct=cabinet.offer_soc_pct,
        safety=limits,
        sockets=tuple(map(_socket_limits, config.sockets)),
        probed_sockets=frozenset(each.number for each in config.sockets if each.probe),
    )


def _socket_limits(socket: SocketConfig) -> SocketLimits:
    return SocketLimits(
        number=socket.number,
        power_max_w=socket.power_max_w,
        current_max_a=socket.current_max_a,
        temp_max_c=socket.temp_max_c,
        full_w=socket.full_w,
        full_after_ms=socket.full_after_s * 1_000,
    )
