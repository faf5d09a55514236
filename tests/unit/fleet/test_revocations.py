"""Cabinets whose certificate was revoked lose the connection that stands at an external broker."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from fleet.adapters.external_broker import Revocations
from fleet.adapters.mqtt import BrokerAddress
from tests.support.fleet import ManualClock, until

A, B, C = "DH-0001", "DH-0002", "DH-0003"


class Broker:
    """The authority's folder and the broker's door."""

    def __init__(self) -> None:
        self.list: Mapping[str, str] = {}
        self.dropped: list[str] = []
        self.away = self.disk_full = False
        self.tries = 0
        self.known = Revocations(
            self,  # type: ignore[arg-type]
            ManualClock(),
            BrokerAddress("broker.example", 8883),
            self.drop,
        )

    def write_crl(self, serials: Mapping[str, str], _number: int, _now: Any) -> None:
        self.list = dict(serials)

    def client_context(self, _cabinet: str, _now: Any) -> Any:
        if self.disk_full:
            self.tries += 1
            raise OSError("no space left on device")
        return None

    async def drop(self, _place: BrokerAddress, cabinet: str) -> bool:
        self.tries += 1
        if not self.away:
            self.dropped.append(cabinet)
        return not self.away


@pytest.fixture
async def broker() -> AsyncIterator[Broker]:
    made = Broker()
    work = asyncio.create_task(made.known.run())
    yield made
    work.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await work


async def test_at_the_start_those_who_are_shut_out_and_then_whoever_is_new(broker: Broker) -> None:
    """B was enrolled anew, so the connection under its name is the good one."""
    broker.known.publish(2, {"s1": A, "s2": B}, [A, C])
    await until(lambda: broker.dropped == [A], "what was revoked while we were down")
    broker.known.publish(3, {"s1": A, "s2": B, "s3": B}, [A, C])
    await until(lambda: broker.dropped == [A, B], "what is new")
    assert broker.list == {"s1": A, "s2": B, "s3": B}


@pytest.mark.parametrize("trouble", ["away", "disk_full"])
async def test_what_could_not_be_dropped_is_tried_again(broker: Broker, trouble: str) -> None:
    setattr(broker, trouble, True)
    broker.known.publish(1, {})
    broker.known.publish(2, {"s1": A})
    await until(lambda: broker.tries > 2, "tries")
    assert broker.dropped == []
    setattr(broker, trouble, False)
    await until(lambda: broker.dropped == [A], "dropped in the end")
