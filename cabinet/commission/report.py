"""The signed report: what was checked, when, by what, and a signature over every word of it."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from cabinet.core.commission.findings import Finding
from cabinet.errors import CabinetError
from protocols.errors import MessageError
from protocols.signing import generate, public_of, sign_bytes, verify_bytes

FORMAT: Final = "yizhan-commissioning-1"
KEY_FILE: Final = "commissioning.key"
REPORT_BYTES_MAX: Final = 4_000_000
FINDINGS_MAX: Final = 5_000
_EMBEDDED: Final = re.compile(
    r'<script type="application/json" id="signed-report">(.*?)</script>', re.DOTALL
)


class ReportError(CabinetError):
    """A report or a key cannot be read or is not what it says; the text says which and why."""

    code = "report"


class Report(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is signed. ``signature`` covers all other fields."""

    format: str
    cabinet: str
    made_at: str  # UTC, ISO 8601
    clock_trusted: bool  # somebody vouched for the clock
    software: str
    technician: str
    config_sha256: str
    findings: Annotated[tuple[Finding, ...], Meta(max_length=FINDINGS_MAX)]
    public_key: str = ""
    signature: str = ""


def signed(report: Report, private_b64: str) -> Report:
    """The same report, with the key's public half and its signature."""
    named = msgspec.structs.replace(report, public_key=public_of(private_b64), signature="")
    whole = msgspec.structs.replace(named, signature=sign_bytes(_covered(named), private_b64))
    # As a reader will have it: facts stand in the file's order, and so on the page.
    return decode(_plain(whole))


def is_genuine(report: Report) -> bool:
    """Whether the key that the report names has signed every word of it."""
    return report.format == FORMAT and verify_bytes(
        _covered(report), report.signature, report.public_key
    )


def encode(report: Report) -> bytes:
    """As a file: readable, and the same bytes for the same report."""
    return msgspec.json.format(_plain(report), indent=1) + b"\n"


def decode(data: bytes) -> Report:
    """A report from a file's bytes, JSON or the printable page around it.

    Raises:
        ReportError: it is no report.
    """
    if len(data) > REPORT_BYTES_MAX:
        raise ReportError(f"{len(data)} bytes are more than a report has ({REPORT_BYTES_MAX})")
    if data.lstrip()[:1] == b"<":
        data = embedded(data)
    try:
        return msgspec.json.decode(data, type=Report)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ReportError(f"not a commissioning report: {error}") from error


def embedded(page: bytes) -> bytes:
    """The report inside a printable page.

    Raises:
        ReportError: there is none.
    """
    match = _EMBEDDED.search(page.decode("utf-8", "replace"))
    if match is None:
        raise ReportError("this page holds no signed report")
    return match[1].replace("\\u003c", "<").encode()


def embed(report: Report) -> str:
    """The report as a script's content: data that cannot end the script."""
    return _plain(report).decode().replace("<", "\\u003c")


def fingerprint(public_b64: str) -> str:
    """Short enough to be read over the telephone."""
    digest = hashlib.sha256(public_b64.encode()).hexdigest()[:16]
    return " ".join(digest[n : n + 4] for n in range(0, 16, 4))


def sha256_of(path: Path) -> str:
    """Of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def own_key(path: Path) -> tuple[str, bool]:
    """The private key in this file, made at its first use; and whether it is new.

    Raises:
        ReportError: the file is open to others, or holds no key, or cannot be written.
    """
    try:
        if not path.exists():
            private, _ = generate()
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="ascii") as out:
                out.write(private + "\n")
            return private, True
        if path.stat().st_mode & 0o077:
            raise ReportError(f"{path}: others may read this key; chmod 600 it")
        private = path.read_text(encoding="ascii").strip()
        public_of(private)
    except (OSError, UnicodeDecodeError, MessageError) as error:
        raise ReportError(f"{path}: no usable Ed25519 private key: {error}") from error
    return private, False


def findings_in(path: Path) -> tuple[Finding, ...]:
    """The findings of another command's ``--json`` output or of a report.

    Raises:
        ReportError: it is neither.
    """

    class _Output(Struct):
        findings: Annotated[tuple[Finding, ...], Meta(max_length=FINDINGS_MAX)]

    try:
        data = path.read_bytes()
        if len(data) > REPORT_BYTES_MAX:
            raise ReportError(f"{path}: larger than {REPORT_BYTES_MAX} bytes")
        return msgspec.json.decode(data, type=_Output).findings
    except (OSError, msgspec.MsgspecError, RecursionError) as error:
        raise ReportError(f"{path}: no output of cabinetd commission --json: {error}") from error


def merge(parts: Sequence[Sequence[Finding]]) -> tuple[Finding, ...]:
    """All findings, each once, in order."""
    seen: dict[bytes, Finding] = {}
    for part in parts:
        for finding in part:
            seen.setdefault(msgspec.json.encode(finding, order="deterministic"), finding)
    return tuple(seen.values())


def _plain(report: Report) -> bytes:
    return msgspec.json.encode(report, order="deterministic")


def _covered(report: Report) -> bytes:
    return _plain(msgspec.structs.replace(report, signature=""))
