"""Carry out a device's dialogue on its place of a bus; see ``protocols.device``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from cabinet.adapters.devices.modbus import Modbus
from cabinet.calls import Call, Place, Urgency
from cabinet.config_devices import MODBUS
from cabinet.errors import DeviceRefusedError, LinkError
from protocols.device import (
    Ask,
    Bits,
    Device,
    Dialogue,
    Raw,
    RefusedError,
    Where,
    Words,
    WriteWords,
)
from protocols.errors import ProtocolError

T = TypeVar("T")


class Talk:
    """Speaks for one device. Every method raises as ``cabinet.calls.Wire.ask``."""

    def __init__(self, place: Place) -> None:
        self._wire = place.wire
        self._modbus = Modbus(place) if place.protocol in MODBUS else None
        self.where = Where(place.address, place.number)

    async def run(self, dialogue: Dialogue[T], urgency: Urgency, *, tries: int = 1) -> T:
        """Ask all that the dialogue asks; reads are repeated up to ``tries`` times.

        Raises:
            DeviceRefusedError: the device declined, and the dialogue could not do without.
            LinkError: no answer, or an answer that makes no sense. What was written before it may
                have taken effect, whatever became of the question after it.
        """
        told = False
        try:
            ask = next(dialogue)
            while True:
                try:
                    reply = await self._ask(ask, urgency, tries)
                except DeviceRefusedError as error:
                    ask = dialogue.throw(RefusedError(error.why))
                except LinkError as error:
                    if told and not error.sent_maybe:
                        raise LinkError(error.device, error.why) from error
                    raise
                else:
                    told = told or not _only_reads(ask)
                    ask = dialogue.send(reply)
        except StopIteration as done:
            result: T = done.value
            return result
        except RefusedError as error:
            raise DeviceRefusedError(self._wire.name, str(error)) from error
        except ProtocolError as error:
            raise LinkError(self._wire.name, f"impossible reading: {error}") from error
        finally:
            dialogue.close()

    async def _ask(self, ask: Ask, urgency: Urgency, tries: int) -> Any:
        if isinstance(ask, Raw):
            return await self._send(ask, urgency, tries)
        modbus = self._modbus
        assert modbus is not None, "a Modbus dialogue on a bus of another protocol"
        match ask:
            case Bits(space, address, count):
                return await modbus.read_bits(space, address, count, urgency, tries=tries)
            case Words(space, address, count):
                return await modbus.read_words(space, address, count, urgency, tries=tries)
            case WriteWords(address, (value,), block=False):
                await modbus.write_word(address, value, urgency)
            case WriteWords(address, values):
                await modbus.write_words(address, values, urgency)
        return None

    async def _send(self, ask: Raw, urgency: Urgency, tries: int) -> bytes:
        call = Call(
            request=ask.request,
            take=_translated(ask.take, self._wire.name),
            reply_bytes=ask.reply_bytes,
            urgency=urgency,
            is_read=ask.is_read,
            tries=tries if ask.is_read else 1,
        )
        return await self._wire.ask(call)


def _only_reads(ask: Ask) -> bool:
    return not isinstance(ask, WriteWords) and not (isinstance(ask, Raw) and not ask.is_read)


def _translated(
    take: Callable[[bytes], bytes | None], name: str
) -> Callable[[bytes], bytes | None]:
    def taken(received: bytes) -> bytes | None:
        try:
            return take(received)
        except RefusedError as error:
            raise DeviceRefusedError(name, str(error)) from error

    return taken


async def identify(device: Device, place: Place) -> str | None:
    """What the device at this place tells of itself, or None when it is no such device.

    Raises:
        LinkError: nobody answers, or what answers makes no sense as this device.
    """
    talk = Talk(place)
    try:
        return await talk.run(device.identify(talk.where), Urgency.COMMAND)
    except DeviceRefusedError:
        return None
