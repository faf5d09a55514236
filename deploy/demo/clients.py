"""Thin HTTP clients of the running programs: the rider's phone and the simulator's hands."""

from __future__ import annotations

import contextlib
import json
import re
import ssl
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import httpx2

from deploy.demo.errors import DemoError
from deploy.demo.waiting import until

HTTP_TIMEOUT_S: Final = 30.0
SMS_WITHIN_S: Final = 30.0
CODE_PATTERN: Final = re.compile(r"\b(\d{6})\b")

Json = dict[str, Any]


class SimClient:
    """The simulator's control API: the truth, and the hands that change it."""

    def __init__(self, base_url: str) -> None:
        self._http = httpx2.Client(base_url=base_url, timeout=HTTP_TIMEOUT_S, trust_env=False)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def state(self) -> Json:
        """The whole cabinet as it truly is."""
        found: Json = self._get("/state")
        return found

    def slot(self, number: int) -> Json:
        """One slot as it truly is."""
        found: Json = self.state()["slots"][number - 1]
        return found

    def serials(self) -> dict[int, str]:
        """Serial by slot, occupied slots only."""
        return {
            each["slot"]: each["pack"]["serial"] for each in self.state()["slots"] if each["pack"]
        }

    def events(self, since: int = 0) -> list[Json]:
        """Truth events after the one numbered ``since``."""
        found = self._get(f"/events?since={since}")
        events: list[Json] = found["events"] if isinstance(found, dict) else found
        return events

    def post(self, path: str, **body: object) -> Json:
        """One control action; raise DemoError with the simulator's own words when it refuses."""
        found: Json = self._checked(self._http.post(path, json=body))
        return found

    def insert(self, slot: int, serial: str, soc_pct: float) -> None:
        """Push a pack into an open slot."""
        self.post(f"/slots/{slot}/insert", serial=serial, soc_pct=soc_pct)

    def remove(self, slot: int) -> str:
        """Pull the pack out of an open slot; return its serial."""
        serial: str = self.post(f"/slots/{slot}/remove")["serial"]
        return serial

    def close_door(self, slot: int) -> None:
        """Shut a door by hand."""
        self.post(f"/slots/{slot}/door", action="close")

    def sockets(self) -> list[Json]:
        """Every socket of the charging area as it truly is."""
        found: list[Json] = self._get("/sockets")["sockets"]
        return found

    def scan(self, text: str) -> None:
        """Hold a QR code before the cabinet's scanner."""
        self.post("/scanner", text=text)

    def jam(self, slot: int, *, jammed: bool = True) -> None:
        """A jammed lock takes the pulse and does not spring open."""
        self.post(f"/slots/{slot}/lock", jammed=jammed)

    def _get(self, path: str) -> Any:  # JSON
        return self._checked(self._http.get(path))

    @staticmethod
    def _checked(reply: httpx2.Response) -> Any:  # JSON
        if reply.is_error:
            raise DemoError(
                f"simulator: {reply.request.method} {reply.request.url.path} -> "
                f"{reply.status_code} {reply.text[:300]}"
            )
        return reply.json()


class RiderClient:
    """A rider's phone: logs in by phone and code, starts swaps, follows them."""

    def __init__(
        self, base_url: str, *, sms_file: Path, verify: ssl.SSLContext | bool = True
    ) -> None:
        self._sms_file = sms_file
        self._http = httpx2.Client(
            base_url=base_url, timeout=HTTP_TIMEOUT_S, verify=verify, trust_env=False
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def login(self, phone: str) -> None:
        """Ask for a code, read it from the demo's message file, log in with it."""
        before = len(texts_to(self._sms_file, phone))
        self._post("/api/v1/login/code", {"phone": phone})
        text = until(
            lambda: texts_to(self._sms_file, phone)[before:] or None,
            within_s=SMS_WITHIN_S,
            what=f"a login code for {phone} in {self._sms_file}",
        )[-1]
        code = CODE_PATTERN.search(text)
        if code is None:
            raise DemoError(f"no 6-digit code in the message {text!r}")
        self._post("/api/v1/login", {"phone": phone, "code": code.group(1)})

    def use_cookies(self, cookies: Mapping[str, str]) -> None:
        """Take over the session of another client, such as a browser."""
        for name, value in cookies.items():
            self._http.cookies.set(name, value)

    def start(self, cabinet_id: str, kind: str = "swap", *, key: str | None = None) -> Json:
        """Tap once: start a transaction; the same key returns the same one."""
        return self._post(
            "/api/v1/swaps",
            {"cabinet_id": cabinet_id, "kind": kind},
            headers={"Idempotency-Key": key or str(uuid.uuid4())},
        )

    def charge(
        self, cabinet_id: str, socket: int, *, limit_wh: int = 1_000, limit_s: int = 3_600
    ) -> Json:
        """Order power from a socket."""
        path = f"/api/v1/cabinets/{cabinet_id}/sockets/{socket}/sessions"
        body = {"limit_wh": limit_wh, "limit_s": limit_s}
        return self._post(path, body, headers=_fresh_key())

    def session(self, session_id: str) -> Json:
        """The session at a socket as the fleet sees it now."""
        found: Json = self._checked(self._http.get(f"/api/v1/sessions/{session_id}"))
        return found

    def stop_charging(self, session_id: str) -> Json:
        """End a session early."""
        return self._post(f"/api/v1/sessions/{session_id}/stop", {})

    def swap(self, swap_id: str) -> Json:
        """The swap as the fleet sees it now."""
        found: Json = self._checked(self._http.get(f"/api/v1/swaps/{swap_id}"))
        return found

    def swaps(self) -> list[Json]:
        """The rider's own transactions, newest first."""
        found: list[Json] = self._checked(self._http.get("/api/v1/swaps"))
        return found

    def offline(self) -> Json:
        """Number, secrets of the month and ticket: what the phone keeps for the time without a network."""
        found: Json = self._checked(self._http.get("/api/v1/me/offline"))
        return found

    def resume(self, swap_id: str) -> Json:
        """Open the waited-for door once more."""
        return self._post(f"/api/v1/swaps/{swap_id}/resume", {}, headers=_fresh_key())

    def cancel(self, swap_id: str) -> Json:
        """Ask to cancel."""
        return self._post(f"/api/v1/swaps/{swap_id}/cancel", {}, headers=_fresh_key())

    def give_back(self, swap_id: str) -> Json:
        """Ask for the own battery back."""
        return self._post(f"/api/v1/swaps/{swap_id}/give-back", {}, headers=_fresh_key())

    def reserve(self, cabinet_id: str, minutes: int = 10) -> Json:
        """Have a full battery kept."""
        return self._post(f"/api/v1/cabinets/{cabinet_id}/reservation", {"minutes": minutes})

    def reservation(self, cabinet_id: str) -> Json:
        """The last reservation at this cabinet."""
        path = f"/api/v1/cabinets/{cabinet_id}/reservation"
        found: Json = self._checked(self._http.get(path))
        return found

    def cabinet(self, cabinet_id: str) -> Json | None:
        """The cabinet as the fleet sees it, or None when the fleet does not answer."""
        with contextlib.suppress(httpx2.TransportError):
            reply = self._http.get(f"/api/v1/cabinets/{cabinet_id}")
            if reply.is_success:
                view: Json = reply.json()
                return view
        return None

    def ready(self) -> bool:
        """Whether the fleet says that all its parts are there."""
        with contextlib.suppress(httpx2.TransportError):
            return self._http.get("/readyz").is_success
        return False

    def follow(self, swap_id: str) -> Iterator[Json | None]:
        """Whole views over SSE until the stream ends; None for a heartbeat."""
        with self._http.stream("GET", f"/api/v1/swaps/{swap_id}/stream") as reply:
            if reply.is_error:
                reply.read()
                self._checked(reply)
            yield from _sse_views(reply.iter_lines())

    def _post(self, path: str, body: Json, *, headers: dict[str, str] | None = None) -> Json:
        found: Json = self._checked(self._http.post(path, json=body, headers=headers)) or {}
        return found

    @staticmethod
    def _checked(reply: httpx2.Response) -> Any:  # JSON
        if reply.is_error:
            raise DemoError(
                f"fleet: {reply.request.method} {reply.request.url.path} -> "
                f"{reply.status_code} {reply.text[:300]}"
            )
        return reply.json() if reply.content else None


def texts_to(sms_file: Path, phone: str) -> list[str]:
    """Every text sent to a phone, oldest first, from the console sender's file."""
    if not sms_file.exists():
        return []
    rows = [json.loads(line) for line in sms_file.read_text(encoding="utf-8").splitlines()]
    return [row["text"] for row in rows if row["phone"] == phone]


def _fresh_key() -> dict[str, str]:
    return {"Idempotency-Key": str(uuid.uuid4())}


def _sse_views(lines: Iterator[str]) -> Iterator[Json | None]:
    """Parse server-sent events: JSON of default events, None for any other event."""
    event, data = "", ""
    for line in lines:
        if line.startswith("event:"):
            event = line[6:].strip()
        elif line.startswith("data:"):
            data += line[5:].strip()
        elif not line:
            if data or event:
                view = json.loads(data) if data and event in ("", "message") else None
                yield view if isinstance(view, dict) and "step" in view else None
            event, data = "", ""
