"""The screen at the cabinet and the phone without a network, for tests with the real programs."""

from __future__ import annotations

import base64
from typing import Any, Final

import httpx2

from cabinet.adapters.clock import SystemClock
from deploy.demo.clients import Json, RiderClient
from deploy.demo.waiting import until
from protocols.offline import CODE_STEP_S, month_of, step_of, totp
from tests.support.stack import SystemStack, read_rows

PROMPT_WITHIN_S: Final = 60.0
#: A cabinet that was long alone asks for its broker at gaps of up to a minute.
LEDGER_WITHIN_S: Final = 90.0


def _wall_ms() -> int:
    return int(SystemClock().now_utc().timestamp() * 1000)


class Pass:
    """What a rider's phone has kept: makes the codes by itself."""

    def __init__(self, rider: RiderClient) -> None:
        kept = rider.offline()
        self.rider_id: str = kept["rider_id"]
        self.number: str = kept["number"]
        self.ticket: str = kept["ticket"]
        self._secrets = {month: base64.b64decode(text) for month, text in kept["secrets"].items()}
        self._used_step = -1

    def code(self) -> str:
        """The code of now."""
        wall_ms = _wall_ms()
        self._used_step = step_of(wall_ms)
        return totp(self._secrets[month_of(wall_ms)], self._used_step)

    def wait_fresh(self) -> None:
        """Wait until the phone shows another code than the last one."""
        until(
            lambda: step_of(_wall_ms()) > self._used_step or None,
            within_s=CODE_STEP_S + 5.0,
            what="the next code",
        )


class KioskClient:
    """Asks what the page asks, as the page does."""

    def __init__(self, url: str) -> None:
        self._http = httpx2.Client(base_url=url, timeout=60.0, trust_env=False)
        self._origin = url

    def close(self) -> None:
        self._http.close()

    def state(self) -> Json:
        found: Json = self._http.get("/kiosk/state").json()
        return found

    def post(self, path: str, **body: Any) -> httpx2.Response:
        page = self._http.get("/kiosk").text
        token = page.partition('name="kiosk-token" content="')[2].partition('"')[0]
        headers = {"Origin": self._origin, "X-Kiosk-Token": token}
        return self._http.post(path, json=body, headers=headers)

    def code(self, rider: Pass, **more: Any) -> Json:
        reply: Json = self.post(
            "/kiosk/code", number=rider.number, code=rider.code(), **more
        ).json()
        return reply

    def until(self, key: str) -> Json:
        """The state once the page shows this prompt."""
        seen: list[Json] = []

        def there() -> Json | None:
            seen[:] = [self.state()]
            return seen[0] if seen[0]["prompt"]["key"] == key else None

        return until(
            there,
            within_s=PROMPT_WITHIN_S,
            what=f"the prompt {key}",
            on_timeout=lambda: f"(last seen: {seen[0]['prompt'] if seen else None})",
        )

    def without_network(self) -> None:
        until(
            lambda: not self.state()["network"] or None,
            within_s=PROMPT_WITHIN_S,
            what="the cabinet has noticed that the broker is gone",
        )


def ride(stack: SystemStack, kiosk: KioskClient, serial: str) -> str:
    """Do what the page says, to the end; the pack received."""
    slot = kiosk.until("put-battery")["prompt"]["slot"]
    stack.hands.give(slot, serial)
    slot = kiosk.until("take-battery")["prompt"]["slot"]
    received = stack.hands.take(slot)
    stack.sim.close_door(slot)
    kiosk.until("done")
    return received


def two_legs(stack: SystemStack, swap_id: str, rider_id: str, given: str, received: str) -> None:
    """Wait until the ledger has exactly these two movements of the swap."""

    count = f"SELECT COUNT(*) FROM movement WHERE swap_id = '{swap_id}'"
    until(
        lambda: read_rows(stack.fleet_db, count)[0][0] >= 2 or None,
        within_s=LEDGER_WITHIN_S,
        what=f"two movements of {swap_id}",
        on_timeout=stack.tails,
    )
    rows = stack.ledger(swap_id)
    cabinet, rider = f"slot:{stack.options.cabinet_id}:", f"rider:{rider_id}"
    legs = [(row["serial"], row["from_holder"], row["to_holder"]) for row in rows]
    assert len(legs) == 2, legs
    (serial_in, giver, place_in), (serial_out, place_out, taker) = legs
    assert (serial_in, giver, serial_out, taker) == (given, rider, received, rider)
    assert place_in.startswith(cabinet)
    assert place_out.startswith(cabinet)


def fleet_away(stack: SystemStack, kiosk: KioskClient) -> None:
    """No broker, no ledger, no pages."""
    stack.programs["fleetd"].stop()
    kiosk.without_network()


def fleet_back(stack: SystemStack) -> None:
    stack.restart("fleetd")
    stack.wait_cabinet_online()
