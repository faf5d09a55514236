"""What the pages must be told, once, at start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from fleet.core.tiles import TileSource
from fleet.errors import ConfigError

#: A stream outlives the right to it by no more than this; at once where this process took it away.
RECHECK_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class WebConfig:
    """``public_url`` is what QR codes lead to; over https, cookies are for https only.

    ``local_token`` is what commands on this machine show, made anew at each start. ``support_phone`` is shown where a rider is stuck.
    """

    public_url: str
    local_token: str
    locale: str = "zh"
    timezone: str = "Asia/Shanghai"
    support_phone: str = ""
    heartbeat_s: float = 2.0
    recheck_s: float = RECHECK_S
    starts_per_minute: int = 20  # taps of one rider that may move a door
    tiles: TileSource | None = None  # of the map; None: a schematic one

    def __post_init__(self) -> None:
        parts = urlsplit(self.public_url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ConfigError(
                f"public_url {self.public_url!r}: expected http(s)://host[:port], as riders reach it"
            )
        if len(self.local_token) < 16:
            raise ConfigError("local_token: expected at least 16 characters")

    @property
    def secure(self) -> bool:
        """Whether riders come over https."""
        return urlsplit(self.public_url).scheme == "https"

    @property
    def origin(self) -> str:
        """Scheme, host and port of ``public_url``."""
        parts = urlsplit(self.public_url)
        return f"{parts.scheme}://{parts.netloc}"
