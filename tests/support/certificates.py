"""Client certificates for tests: of a cabinet, expired, or of a stranger's authority."""

from __future__ import annotations

import datetime as dt
import ssl
from dataclasses import dataclass
from pathlib import Path

from cabinet.adapters.enrolment import new_key, request_of
from fleet.adapters.clock import SystemClock
from fleet.adapters.pki import Authority
from fleet.core.enrolment import Issued

NOW = SystemClock().now_utc()


@dataclass(frozen=True, slots=True)
class Client:
    """A certificate with its key in a file."""

    file: Path
    issued: Issued

    def context(self, ca_file: Path) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=ca_file)
        context.load_cert_chain(self.file)
        return context


def cabinet_client(
    authority: Authority, folder: Path, cabinet: str, epoch: int = 1, *, now: dt.datetime = NOW
) -> Client:
    """What a cabinet holds after an enrolment at that time."""
    key_pem, key = new_key()
    csr = authority.check_request(request_of(key, cabinet), cabinet)
    issued = authority.issue(csr, cabinet, epoch, now)
    file = folder / f"{cabinet}-{issued.serial}.pem"
    file.touch(mode=0o600)
    file.write_text(key_pem + issued.pem)
    return Client(file, issued)
