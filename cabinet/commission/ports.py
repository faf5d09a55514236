"""Which serial ports there are, and who holds them."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cabinet.core.commission.findings import Cause
from cabinet.errors import CabinetError

#: Where ports are when nobody says: adapters by their socket, the folder of our udev rules, and the
#: one that the examples name. Any of them may be missing, or have nothing in it yet.
DEFAULT_PLACES: Final = (
    Path("/dev/serial/by-path"),
    Path("/dev/yizhan/by-port"),
    Path("/run/yizhan"),
)
PORTS_MAX: Final = 64
LOCKS: Final = Path("/proc/locks")


class PlaceError(CabinetError):
    """There is no port where one was looked for; the text says what to do."""

    code = "place"


@dataclass(frozen=True, slots=True)
class Port:
    """One port by its stable name."""

    name: str
    path: str

    @property
    def is_url(self) -> bool:
        """A socket, not a device."""
        return "://" in self.path

    @property
    def is_scanner(self) -> bool:
        """A barcode scanner by its name: it only talks, and is not asked."""
        return "scanner" in self.name.lower() or "barcode" in self.name.lower()


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a port cannot be used."""

    cause: Cause
    detail: str


def find(places: Iterable[str]) -> tuple[Port, ...]:
    """Every port in these folders, devices and URLs; each device once, by its shortest name.

    Raises:
        PlaceError: a place does not exist, or holds no port.
    """
    named = tuple(places)
    if not named:
        named = tuple(str(place) for place in DEFAULT_PLACES if _devices(place))
        if not named:
            raise PlaceError(
                f"no serial port in {' or '.join(map(str, DEFAULT_PLACES))}: plug the adapters in, "
                "or name a folder, a device or tcp://host:port"
            )
    found: dict[str, Port] = {}
    for place in named:
        for port in _in_place(place):
            real = port.path if port.is_url else os.path.realpath(port.path)
            if real not in found or len(port.name) < len(found[real].name):
                found[real] = port
    if len(found) > PORTS_MAX:
        raise PlaceError(f"{len(found)} ports are more than {PORTS_MAX}; name the ones to scan")
    return tuple(found.values())


def _in_place(place: str) -> list[Port]:
    if "://" in place:
        return [Port(place.partition("://")[2].replace(":", "-"), place)]
    path = Path(place).expanduser().absolute()
    if path.is_dir():
        ports = [Port(p.name, str(p)) for p in _devices(path)]
        if not ports:
            raise PlaceError(f"{path}: no serial port in this folder; is it the right one?")
        return ports
    if not _is_device(path):
        raise PlaceError(f"{path}: no serial port; look with: ls -l /dev/serial/by-path")
    return [Port(path.name, str(path))]


def _devices(folder: Path) -> list[Path]:
    """The devices in a folder; none in one that is missing or may not be read."""
    try:
        return [path for path in sorted(folder.iterdir()) if _is_device(path)]
    except OSError:
        return []


def _is_device(path: Path) -> bool:
    try:
        return stat.S_ISCHR(path.stat().st_mode)
    except OSError:
        return False


def trouble(port: Port) -> Trouble | None:
    """Why the port cannot be had now; None when it can, or is a socket, which tells when used.

    A running cabinetd locks its ports, so that nobody talks in between.
    """
    if port.is_url:
        return None
    try:
        handle = os.open(port.path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return Trouble(_cause(error), error.strerror or str(error))
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return Trouble(Cause.PORT_BUSY, holder(port.path))
    finally:
        os.close(handle)
    return None


def daemon_at(store: Path) -> str | None:
    """The daemon that has this journal open; it may reach devices by sockets that have no lock."""
    lock = store.with_name(store.name + ".lock")
    try:
        handle = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return holder(str(lock))
    finally:
        os.close(handle)
    return None


def holder(path: str) -> str:
    """The program that has locked this device, as far as the kernel tells us."""
    try:
        node = Path(path).stat()
        wanted = f"{os.major(node.st_dev):02x}:{os.minor(node.st_dev):02x}:{node.st_ino}"
        lines = LOCKS.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return "another program"
    for line in lines:
        words = line.split()
        if len(words) >= 6 and words[1] == "FLOCK" and words[5] == wanted:
            return _program(words[4])
    return "another program"


def _program(pid: str) -> str:
    try:
        words = Path("/proc", pid, "cmdline").read_bytes().split(b"\0")
    except OSError:
        return f"process {pid}"
    names = [Path(os.fsdecode(word)).name for word in words[:2] if word]
    interpreter = bool(names) and names[0].startswith("python") and len(names) > 1
    name = names[1] if interpreter else names[0] if names else "process"
    return f"{name} (process {pid})"


def _cause(error: OSError) -> Cause:
    match error.errno:
        case errno.EBUSY:
            return Cause.PORT_BUSY
        case errno.EACCES | errno.EPERM:
            return Cause.PORT_DENIED
        case _:
            return Cause.PORT_MISSING
