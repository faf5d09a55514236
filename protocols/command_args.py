"""The typed arguments of each command, beside its signed envelope ``messages.Command``."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from protocols.errors import MessageError
from protocols.messages import Command, Id, Kind, Serial, SlotNumber
from protocols.sockets import SocketArgs, SocketStartArgs, SocketStopArgs

#: For how long a full pack may be kept for a rider who is on the way.
HOLD_S_MIN: Final = 60
HOLD_S_MAX: Final = 1800


class SwapStartArgs(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``swap.start``: one transaction for one rider (or technician, for load and unload).

    ``expected_serial`` is the pack that the ledger says the rider holds; another one is accepted
    and flagged. ``slot`` is only for load and unload.
    """

    kind: Kind
    rider_id: Id
    expected_serial: Serial | None = None
    slot: SlotNumber | None = None


class SwapArgs(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``swap.cancel``, ``swap.resume`` and ``swap.give-back``.

    Resume opens the waited-for door once more. Give-back is for a rider who wants the own pack
    after all: it is possible once that pack is booked in and until the full one is taken, and ends
    as ``cancelled`` with reason ``own-battery`` and a ``battery.out`` of the rider's own pack.
    """


class SlotArgs(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``slot.open``, ``slot.service-off``, ``slot.service-on``, ``slot.quarantine``, ``slot.release``."""

    slot: SlotNumber


class CabinetArgs(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``cabinet.restart`` and ``cabinet.open-all``: to the whole cabinet."""


class AlarmArgs(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``alarm.clear``: a technician releases a latched trip."""

    code: Id
    slot: SlotNumber | None = None


class HoldArgs(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``pack.hold``: keep the best full pack for this rider. The command's id names the hold."""

    rider_id: Id
    ttl_s: Annotated[int, Meta(ge=HOLD_S_MIN, le=HOLD_S_MAX)]


class ReleaseArgs(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``pack.release``: end a hold early."""

    hold: Id


COMMAND_ARGS: Final[dict[str, type[Struct]]] = {
    "swap.start": SwapStartArgs,
    "swap.cancel": SwapArgs,
    "swap.resume": SwapArgs,
    "swap.give-back": SwapArgs,
    "slot.open": SlotArgs,
    "slot.service-off": SlotArgs,
    "slot.service-on": SlotArgs,
    "slot.quarantine": SlotArgs,
    "slot.release": SlotArgs,
    "cabinet.restart": CabinetArgs,
    "cabinet.open-all": CabinetArgs,
    "alarm.clear": AlarmArgs,
    "pack.hold": HoldArgs,
    "pack.release": ReleaseArgs,
    "socket.start": SocketStartArgs,
    "socket.stop": SocketStopArgs,
    "socket.clear": SocketArgs,
}
CommandArgs = (
    SwapStartArgs
    | SwapArgs
    | SlotArgs
    | CabinetArgs
    | AlarmArgs
    | HoldArgs
    | ReleaseArgs
    | SocketStartArgs
    | SocketStopArgs
    | SocketArgs
)


def command_args(command: Command) -> CommandArgs:
    """The typed arguments of a command; raise MessageError for an unknown type or a bad field."""
    kind = COMMAND_ARGS.get(command.type)
    if kind is None:
        raise MessageError(f"Command: unknown type {command.type!r}")
    try:
        args: CommandArgs = msgspec.convert(command.args, kind)  # type: ignore[assignment]  # by the table
    except msgspec.MsgspecError as error:
        raise MessageError(f"Command {command.type} args: {error}") from error
    return args
