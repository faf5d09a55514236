"""cabinetd from outside: its status page, and its kiosk page as a rider uses it."""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2

from protocols.messages import Kind
from protocols.offline import (
    CODE_SKEW_STEPS,
    Ticket,
    month_of,
    rider_number,
    rider_secret,
    step_of,
    ticket_text,
    totp,
)
from protocols.signing import sign
from simulator.errors import SimulatorError, UnreachableError

ASK_TIMEOUT_S: Final = 15.0
STEP_MS: Final = 30_000
TICKET_LIFE_MS: Final = 3_600_000
_TOKEN: Final = re.compile(r'name="kiosk-token" content="([^"]*)"')
Json = dict[str, Any]


class CabinetLink:
    """One cabinetd at ``url``; ``group_key`` makes the riders' codes."""

    def __init__(self, url: str, group_key: bytes, wall_ms: Any) -> None:
        self.url = url.rstrip("/")
        self._http = httpx2.Client(base_url=self.url, timeout=ASK_TIMEOUT_S, trust_env=False)
        self._key, self._wall_ms = group_key, wall_ms
        self._used: dict[str, int] = {}

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def status(self) -> Json:
        """The cabinet as its status page tells it; raise UnreachableError when it does not."""
        return self._get("/state.json")

    def kiosk(self) -> Json:
        """What the kiosk page shows; raises as ``status``."""
        return self._get("/kiosk/state")

    def code(self, rider: int, wish: str, *, wrong: bool = False) -> str | None:
        """Type number and code; None is yes, else the cabinet's reason.

        Raises:
            UnreachableError: no answer.
            SimulatorError: this rider has no fresh code now: one a time step, and few ahead.
        """
        number = rider_number(rider)
        code = self._code(number)
        if wrong:
            code = f"{(int(code) + 1) % 1_000_000:06d}"
        return self._ask("/kiosk/code", {"number": number, "code": code, "wish": wish})

    def ticket(self, text: str, wish: str) -> str | None:
        """Hold a ticket before the page's scanner; answers and raises as ``code``."""
        return self._ask("/kiosk/ticket", {"text": text, "wish": wish})

    def _ask(self, path: str, body: Json) -> str | None:
        try:
            page = _TOKEN.search(self._http.get("/kiosk").text)
            headers = {"Origin": self.url, "X-Kiosk-Token": page[1] if page else ""}
            reply = self._http.post(path, json=body, headers=headers)
            answer = reply.json()
        except (httpx2.HTTPError, ValueError) as error:
            raise UnreachableError(f"no cabinetd answers at {self.url}: {error}") from error
        reason = answer.get("reason")
        return None if reason is None else str(reason)

    def _code(self, number: str) -> str:
        """A code that this number has not used: of a moment ago, of now, or of soon."""
        wall_ms = self._wall_ms()
        now = step_of(wall_ms)
        step = max(now - CODE_SKEW_STEPS, self._used.get(number, 0) + 1)
        if step > now + CODE_SKEW_STEPS:
            raise SimulatorError(f"rider {number} has used all codes of now; let him wait")
        self._used[number] = step
        return totp(rider_secret(self._key, number, month_of(step * STEP_MS)), step)

    def _get(self, path: str) -> Json:
        try:
            reply = self._http.get(path)
            reply.raise_for_status()
            found: Json = reply.json()
        except (httpx2.HTTPError, ValueError) as error:
            raise UnreachableError(f"no cabinetd answers at {self.url}: {error}") from error
        return found


def signed_ticket(rider: int, kind: str, name: str, wall_ms: int, private_key: str) -> str:
    """The text of a ticket for one transaction of this rider, as the fleet would sign it."""
    number = rider_number(rider)
    ticket = Ticket(
        id=name,
        rider_id=f"no.{number}",
        number=number,
        kind=Kind(kind),
        issued_ms=wall_ms,
        expires_ms=wall_ms + TICKET_LIFE_MS,
    )
    return ticket_text(sign(ticket, private_key))


def check_url(url: str) -> str:
    """The address, when it is one; raise SimulatorError else."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise SimulatorError(f"{url}: not an address; give for example http://127.0.0.1:8080")
    return url
