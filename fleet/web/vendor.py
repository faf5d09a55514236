"""Other people's files, served as ours: what of them is used, and how.

``static/vendor/vendor.toml`` names each file's origin, licence and digest.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

VENDOR: Final = Path(__file__).parent / "static" / "vendor"


def qr_worker() -> bytes:
    """The worker that reads QR codes, as a script of its own.

    The package carries it as one template literal and starts it from a blob, which our policy does
    not let in: it would let in any script that a page can put together.
    """
    text = (VENDOR / "qr-scanner-worker.min.js").read_text(encoding="utf-8")
    body = text[text.index("[`") + 2 : text.rindex("`]")]
    body = body.replace("\\`", "`").replace("\\${", "${")
    if "\\" in body:
        raise ValueError("qr-scanner-worker.min.js: an escape that is not known; was it replaced?")
    return body.encode()
