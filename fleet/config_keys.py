"""The keys of fleetd's configuration: defaults, bounds and what they are for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from protocols.fastclock import RATE_MAX

Value = str | int | bool
_WANTED: Final = {bool: "true or false", int: "a whole number", str: "text in quotes"}


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a section; its type is its default's."""

    name: str
    default: Value
    doc: str
    choices: tuple[str, ...] = ()
    low: int = 0
    high: int = 65_535

    def check(self, value: object) -> str | None:
        """What is wrong with the value, or None."""
        kind = type(self.default)
        if type(value) is not kind:
            return f"is {value!r}, expected {_WANTED[kind]}"
        if isinstance(value, int) and not self.low <= value <= self.high:
            return f"is {value}, expected {self.low} to {self.high}"
        if self.choices and value not in self.choices:
            return f"is {value!r}, expected one of {', '.join(self.choices)}"
        return None


SECTIONS: Final[Mapping[str, tuple[Key, ...]]] = {
    "fleet": (
        Key(
            "data_dir",
            "fleet-data",
            "Database, keys and broker files. Relative paths start at the folder of this file.",
        ),
        Key(
            "profile",
            "production",
            "demo allows a clock_rate above 1.",
            choices=("production", "demo"),
        ),
        Key(
            "clock_rate",
            1,
            "How much faster than real time the day of tariffs and plans runs; demonstrations only.",
            low=1,
            high=RATE_MAX,
        ),
        Key("clock_origin_ms", 0, "When both show the same (Unix ms).", high=1 << 53),
    ),
    "http": (
        Key("host", "127.0.0.1", "Where the pages listen; 0.0.0.0 for all interfaces."),
        Key("port", 8080, "0 takes any free port."),
        Key(
            "public_url",
            "",
            'What the QR codes lead to, such as "https://swap.example.cn"; empty: host and port.',
        ),
        Key("tls_cert_file", "", "Certificate and key for https; empty behind a proxy."),
        Key("tls_key_file", "", ""),
    ),
    "broker": (
        Key(
            "mode",
            "embedded",
            "embedded: started by fleetd; external: your own.",
            choices=("embedded", "external"),
        ),
        Key("host", "127.0.0.1", "Where the embedded one listens, or the external one is."),
        Key("port", 8883, "0 takes any free port (embedded only)."),
        Key(
            "tls",
            True,  # noqa: FBT003 - a default value
            "Encryption, and a client certificate for everybody. false: passwords; loopback only.",
        ),
        Key(
            "public_url",
            "",
            'What cabinets are told, such as "mqtts://swap.example.cn:8883"; empty: the host of '
            "http.public_url, and the port above.",
        ),
        Key("prefer", "auto", "Which to embed.", choices=("auto", "nats", "mosquitto")),
        Key("username", "", "External only: the fleet's user there."),
        Key("password_file", "", "External only: a file that holds its password."),
        Key("ca_file", "", "External only: who vouches for it; empty: our own authority."),
        Key("cert_file", "", "External only: our client certificate and key; empty: of our own."),
        Key("key_file", "", ""),
    ),
    "enrol": (
        Key("host", "127.0.0.1", "Where cabinets join (HTTPS); 0.0.0.0 for all interfaces."),
        Key("port", 8443, "0 takes any free port; tokens can then be made while fleetd runs only."),
        Key(
            "public_url",
            "",
            'What tokens lead to, such as "https://swap.example.cn:8443"; empty: the host of '
            "http.public_url, and the port above.",
        ),
    ),
    "store": (
        Key(
            "url",
            "",
            'Empty: SQLite in data_dir. Or "postgresql://user@host/database".',
        ),
        Key("password_file", "", "PostgreSQL only: a file that holds the password of that user."),
    ),
    "sms": (
        Key(
            "sender",
            "console",
            "console prints login codes and keeps them in data_dir/sms.jsonl; for trials only.",
            choices=("console",),
        ),
    ),
    "operator": (
        Key(
            "token_file",
            "",
            "Where fleetd leaves, anew at each start, what commands on this machine show it; "
            "empty: data_dir/operator.token.",
        ),
    ),
    "oidc": (
        Key("issuer", "", "OpenID Connect provider of the staff, as it calls itself; empty: none."),
        Key("client_id", "", "Our name there."),
        Key("client_secret_file", "", "Our secret there, in a file for fleetd's eyes only."),
        Key("name", "SSO", "What the button on the login page says."),
        Key("groups_claim", "groups", "Where its ID token lists somebody's groups."),
        Key("admin_groups", "", "Groups, with commas, that make an admin; the strongest counts."),
        Key("technician_groups", "", "Groups that make a technician."),
        Key("operator_groups", "", "Groups that make an operator."),
        Key("viewer_groups", "", "Groups that make a viewer."),
    ),
    "pages": (
        Key(
            "locale", "zh", "Language of the pages before a visitor chooses.", choices=("zh", "en")
        ),
        Key("timezone", "Asia/Shanghai", "Of the times shown."),
        Key("support_phone", "", "Shown where a rider is stuck."),
        Key(
            "map_tiles",
            "",
            'Licensed raster tiles, such as "https://tiles.example.cn/{z}/{x}/{y}.png?key=abc"; '
            "empty: a schematic map of our own.",
        ),
        Key("map_attribution", "", "Whose map it is; shown under it, as most licences ask."),
        Key(
            "map_datum",
            "wgs84",
            "What the tiles are drawn in; maps of mainland China use gcj02.",
            choices=("wgs84", "gcj02"),
        ),
    ),
    "limits": (
        Key(
            "starts_per_minute",
            20,
            "Taps of one rider that may move a door, start or reopen; more are told to wait.",
            low=1,
            high=10_000,
        ),
    ),
    "log": (
        Key("format", "text", "text: for people; json: for machines.", choices=("text", "json")),
        Key(
            "level",
            "warning",
            "What is logged; info tells of every swap and command.",
            choices=("debug", "info", "warning", "error"),
        ),
    ),
    "balance": (
        Key(
            "grid_file",
            "",
            "Regions, feeders, tariffs (`fleetd grid check`); empty: cabinets charge by their own.",
        ),
        Key("interval_s", 900, "Steps of the plan; a divisor of an hour.", low=60, high=3_600),
        Key("every_s", 300, "How often it is planned anew.", low=10, high=3_600),
    ),
}
