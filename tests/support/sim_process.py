"""A real ``swapsim cabinet`` process on ports of its own, with its control API as methods."""

from __future__ import annotations

import http.client
import json
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self
from urllib.parse import quote, urlsplit

from deploy.demo.processes import Program, run_once, wait_ready
from deploy.demo.waiting import until

READY_WITHIN_S: Final = 60.0
HTTP_TIMEOUT_S: Final = 60.0

#: The command beside the interpreter that runs the tests.
SWAPSIM: Final = Path(sys.executable).with_name("swapsim")

Json = dict[str, Any]


class SimRefusedError(Exception):
    """The simulator said no; ``status`` is its HTTP status, for example 409 for a shut door."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"simulator: {status} {detail}")
        self.status = status


class SimProcess:
    """Context manager: start the simulator, wait until its ports exist, end it at the end.

    ``config`` is TOML text; ``tcp`` True offers every line on a free TCP port too (``tcp_ports``).
    ``start``, ``stop`` and ``kill9`` also work in the middle of a test.
    """

    def __init__(
        self, tmp_path: Path, *, config: str | None = None, tcp: bool = False, http_port: int = 0
    ) -> None:
        self.run_dir = tmp_path / "sim"
        self.run_dir.mkdir(parents=True, exist_ok=True)
        self._mark = uuid.uuid4().hex
        argv = [str(SWAPSIM), "cabinet", "--run-dir", str(self.run_dir), "--http", str(http_port)]
        if config is not None:
            path = tmp_path / "simulator.toml"
            path.write_text(config, encoding="utf-8")
            argv += ["--config", str(path)]
        if tcp:
            argv += ["--tcp", "0"]
        self.program = Program("swapsim", argv, log=tmp_path / "swapsim.log", run_mark=self._mark)
        self._ready: Json = {}

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    # --- the process ----------------------------------------------------------------------------

    def start(self) -> None:
        """Start it and wait until every port exists; its last lines are in the error if it dies."""
        path = self.run_dir / "ready.json"
        path.unlink(missing_ok=True)  # of a simulator that was killed
        self.program.start()
        wait_ready(path.exists, (self.program,), within_s=READY_WITHIN_S, what="swapsim ready")
        self._ready = json.loads(path.read_text(encoding="utf-8"))

    def stop(self) -> None:
        """End it in order; does nothing when it does not run."""
        self.program.stop()

    def kill9(self) -> None:
        """End it as a power cut would."""
        self.program.kill9()

    @property
    def url(self) -> str:
        """Base address of the control API."""
        found: str = self._ready["http"]
        return found

    @property
    def ports(self) -> dict[str, str]:
        """Pseudo terminals by line: bus-a, bus-chargers, slot-01 …"""
        found: dict[str, str] = self._ready["ports"]
        return found

    @property
    def tcp_ports(self) -> dict[str, int]:
        """TCP ports on 127.0.0.1 by line, when started with ``tcp=True``."""
        found: dict[str, int] = self._ready["tcp"]
        return found

    def cli(self, *arguments: str) -> str:
        """What a one-shot ``swapsim`` command prints about this simulator."""
        argv = (str(SWAPSIM), *arguments, "--run-dir", str(self.run_dir))
        return run_once(argv, run_mark=self._mark)

    # --- truth ----------------------------------------------------------------------------------

    def state(self) -> Json:
        """The whole cabinet as it truly is."""
        return self._call("GET", "/state")

    def slot(self, number: int) -> Json:
        """One slot as it truly is."""
        found: Json = self.state()["slots"][number - 1]
        return found

    def events(self, since: int = 0) -> list[Json]:
        """Truth events numbered above ``since``, oldest first."""
        found: list[Json] = self._call("GET", f"/events?since={since}")["events"]
        return found

    def wait_event(
        self, kind: str, *, since: int = 0, within_s: float = 10.0, **detail: object
    ) -> Json:
        """The first truth event of a kind, with these details, numbered above ``since``."""
        return until(
            lambda: next(
                (
                    event
                    for event in self.events(since)
                    if event["kind"] == kind
                    and all(event.get(key) == value for key, value in detail.items())
                ),
                None,
            ),
            within_s=within_s,
            what=f"simulator event {kind} {detail}",
        )

    # --- hands and mishaps ----------------------------------------------------------------------

    def insert(self, slot: int, serial: str | None, soc_pct: float = 20.0, **more: object) -> Json:
        """Put a pack into an open slot; serial None is an unreadable barcode."""
        body = {"serial": serial, "soc_pct": soc_pct, **more}
        return self._call("POST", f"/slots/{slot}/insert", body)

    def remove(self, slot: int) -> Json:
        """Take the pack out of an open slot."""
        return self._call("POST", f"/slots/{slot}/remove", {})

    def door(self, slot: int, action: Literal["open", "close"]) -> Json:
        """Close a door by hand, or open one that is not latched."""
        return self._call("POST", f"/slots/{slot}/door", {"action": action})

    def pack(self, slot: int, **changes: object) -> Json:
        """Change the pack in a slot: soc_pct, temp_c, hold_temp, bms_silent, protection, serial."""
        return self._call("POST", f"/slots/{slot}/pack", changes)

    def lock(self, slot: int, *, jammed: bool) -> Json:
        """Jam a lock, or free it."""
        return self._call("POST", f"/slots/{slot}/lock", {"jammed": jammed})

    def set_input(self, name: str, *, active: bool) -> Json:
        """Trigger smoke, flood, service-door or e-stop, or calm it."""
        return self._call("POST", f"/inputs/{name}", {"active": active})

    def silent(self, device: str, *, silent: bool) -> Json:
        """Make a device deaf and dumb (board-1, meter, climate, charger-03, bms-03), or not."""
        return self._call("POST", f"/devices/{quote(device, safe='')}/silent", {"silent": silent})

    # --- time -----------------------------------------------------------------------------------

    def freeze(self, *, frozen: bool) -> Json:
        """Stop all simulated time, board timers included, or let it run."""
        return self._call("POST", "/freeze", {"frozen": frozen})

    def speed(self, factor: float) -> Json:
        """Let charge, heat and energy run faster."""
        return self._call("POST", "/speed", {"factor": factor})

    def _call(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Json:
        parts = urlsplit(self.url)
        link = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=HTTP_TIMEOUT_S)
        try:
            payload = None if body is None else json.dumps(body)
            link.request(method, path, payload, {"Content-Type": "application/json"})
            reply = link.getresponse()
            text = reply.read().decode()
        finally:
            link.close()
        if reply.status >= http.HTTPStatus.BAD_REQUEST:
            raise SimRefusedError(reply.status, text[:300])
        answer: Json = json.loads(text)
        return answer
