"""The address of the store, with a password that stands in a file of its own."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from fleet.errors import ConfigError


def password_unfit(url: str) -> str | None:
    """Why a password file can't go with this URL, or None."""
    try:
        parts = urlsplit(url)
        password = parts.password
    except ValueError:
        return "goes with store.url, which can't be read as a URL"
    if not parts.scheme.startswith("postgresql"):
        return "is for PostgreSQL: give store.url too, or leave it"
    if not parts.username:
        return "needs a user in store.url, such as postgresql://fleetd@db/fleet"
    if password is not None:
        return "and a password in store.url: give one of the two"
    return None


def with_password(url: str, file: Path | None) -> str:
    """The URL with the password from the file.

    Raises:
        ConfigError: the file can't be read, or is empty.
    """
    if file is None:
        return url
    try:
        password = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"store.password_file: {file} can't be read: {error}") from error
    if not password:
        raise ConfigError(f"store.password_file: {file} is empty: write the password into it")
    parts = urlsplit(url)
    user, _, place = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user}:{quote(password, safe='')}@{place}"))
