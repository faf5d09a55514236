"""Where an external broker is, and telling scripts where we are."""

from __future__ import annotations

import os
import ssl

import msgspec

from fleet import places
from fleet.adapters.broker import EmbeddedBroker
from fleet.adapters.mqtt import BrokerAddress
from fleet.adapters.secret_files import write_private
from fleet.config import BrokerConfig, FleetConfig
from fleet.device import DeviceSide
from fleet.errors import ConfigError


def external_address(broker: BrokerConfig, device: DeviceSide | None, user: str) -> BrokerAddress:
    """Where an external broker is: with a password, or with certificates of its CA or of ours."""
    password = None
    try:
        if broker.password_file is not None:
            password = broker.password_file.read_text(encoding="utf-8").strip()
        tls = None
        if device is not None and broker.ca_file is None:
            tls = device.authority.client_context(user, device.now())
        elif broker.ca_file is not None:
            tls = ssl.create_default_context(cafile=broker.ca_file)
        if tls is not None and broker.cert_file is not None:
            tls.load_cert_chain(broker.cert_file, broker.key_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"broker: {error}") from error
    return BrokerAddress(broker.host, broker.port, broker.username or None, password, tls)


def write_ready(
    config: FleetConfig,
    url: str,
    address: BrokerAddress,
    broker: EmbeddedBroker | None,
    device: DeviceSide | None,
) -> None:
    """Where we are, for scripts: free ports are known only now."""
    scheme = "mqtt" if address.tls is None else "mqtts"
    ready = places.Ready(
        http=url,
        mqtt=f"{scheme}://{places.bracketed(address.host)}:{address.port}",
        broker="external" if broker is None else broker.kind,
        broker_pid=broker.pid if broker else None,
        pid=os.getpid(),
        device=device.url if device else None,
    )
    text = msgspec.json.encode(ready).decode()
    write_private(config.data_dir / places.READY_FILE, text + "\n")
