"""Where the fleet is to be found: the URLs that cabinets are told, and the names in certificates."""

from __future__ import annotations

from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from fleet.config import FleetConfig
from fleet.errors import ConfigError

READY_FILE = "ready.json"
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - names what was configured


class Ready(Struct, kw_only=True):
    """What a running fleetd tells scripts in ``data_dir/ready.json``: free ports are known only now."""

    http: str
    mqtt: str
    broker: str
    broker_pid: int | None
    pid: int
    device: str | None = None


def bracketed(host: str) -> str:
    """A host as it stands in a URL."""
    return f"[{host}]" if ":" in host else host


def device_url(config: FleetConfig, port: int) -> str:
    """Of the device listener on this port, as cabinets reach it."""
    host = _public_host(config) or EVERYWHERE.get(config.enrol.host, config.enrol.host)
    return config.enrol.public_url or f"https://{bracketed(host)}:{port}"


def broker_url(config: FleetConfig, port: int) -> str:
    """Of the broker on this port, as cabinets reach it."""
    host = config.broker.host
    if config.broker.mode == "embedded":
        host = _public_host(config) or EVERYWHERE.get(host, host)
    return config.broker.public_url or f"mqtts://{bracketed(host)}:{port}"


def known_device_url(config: FleetConfig) -> str:
    """The same for another process than fleetd.

    Raises:
        ConfigError: the port is any free one, and fleetd does not run.
    """
    if config.enrol.public_url or config.enrol.port:
        return device_url(config, config.enrol.port)
    try:
        ready = msgspec.json.decode((config.data_dir / READY_FILE).read_bytes(), type=Ready)
    except (OSError, msgspec.MsgspecError):
        ready = None
    if ready is None or ready.device is None:
        raise ConfigError(
            "enrol.port is 0, so where cabinets join is known while fleetd runs only: "
            "start it, or give a port"
        )
    return ready.device


def certificate_hosts(config: FleetConfig) -> set[str]:
    """Every name and address by which broker and device listener may be called."""
    urls = (device_url(config, 1), broker_url(config, 1), config.http.public_url)
    hosts = {urlsplit(url).hostname or "" for url in urls}
    hosts |= {EVERYWHERE.get(host, host) for host in (config.broker.host, config.enrol.host)}
    return hosts - {""}


def _public_host(config: FleetConfig) -> str | None:
    return urlsplit(config.http.public_url).hostname
