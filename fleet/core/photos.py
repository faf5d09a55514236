"""Pictures from strangers: JPEG and PNG, read strictly and rebuilt from their picture parts alone.

What comes out is a well-formed file of one of two types that holds no comment, no position, no
thumbnail, no second file behind the first: only what is needed to draw it, and which way is up. The
compressed pixels themselves are not decoded here; browsers do that, as an image and nothing else.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

from fleet.core.reports import Photo
from fleet.errors import InvalidError

PHOTO_BYTES_MAX: Final = 6 * 1024 * 1024
SIDE_MAX: Final = 12_000
PIXELS_MAX: Final = 60_000_000
JPEG: Final = "image/jpeg"
PNG: Final = "image/png"

_SOI: Final = b"\xff\xd8"
_EOI: Final = b"\xff\xd9"
_PNG_SIGN: Final = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT: Final = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
_CHUNKS_MAX: Final = 50_000
#: Start of frame, but not the lossless and hierarchical kinds that no browser draws.
_FRAMES: Final = frozenset({0xC0, 0xC1, 0xC2})
#: Tables and scans: huffman, arithmetic conditioning is out, quantisation, restart interval.
_TABLES: Final = frozenset({0xC4, 0xDB, 0xDD})
_SCAN: Final = 0xDA
_APP1: Final = 0xE1
_APP_OR_COMMENT: Final = frozenset(range(0xE0, 0xF0)) | {0xFE}
_ORIENTATION: Final = 0x0112


class PhotoError(InvalidError):
    """Not a picture that we take."""

    code = "photo"


def strip(data: bytes) -> Photo:
    """The picture in these bytes, rebuilt.

    Raises:
        PhotoError: too large, of another type, damaged, or of absurd dimensions.
    """
    if not data or len(data) > PHOTO_BYTES_MAX:
        raise PhotoError(f"photo: {len(data)} bytes; at most {PHOTO_BYTES_MAX}")
    try:
        if data.startswith(_SOI):
            return Photo(JPEG, _jpeg(data))
        if data.startswith(_PNG_SIGN):
            return Photo(PNG, _png(data))
    except (struct.error, IndexError) as error:
        raise PhotoError("photo: it breaks off") from error
    raise PhotoError("photo: expected a JPEG or PNG picture")


def _check_size(width: int, height: int) -> None:
    if not (1 <= width <= SIDE_MAX and 1 <= height <= SIDE_MAX and width * height <= PIXELS_MAX):
        raise PhotoError(f"photo: {width} x {height} pixels; at most {SIDE_MAX} a side")


# --- JPEG ---------------------------------------------------------------------------------------


def _jpeg(data: bytes) -> bytes:
    tables: list[bytes] = []
    turn, framed, scans, at = 1, False, 0, 2
    while True:
        marker, at = _marker(data, at)
        if marker == 0xD9:
            break
        (length,) = struct.unpack_from(">H", data, at)
        segment = data[at : at + length]
        if length < 2 or len(segment) != length:
            raise PhotoError("photo: a JPEG segment breaks off")
        at += length
        if marker in _FRAMES:
            if framed:
                raise PhotoError("photo: a JPEG with two frames")
            height, width = struct.unpack_from(">HH", segment, 3)
            _check_size(width, height)
            framed = True
        elif marker == _APP1:
            turn = _orientation(segment[2:]) or turn
        if marker in _FRAMES or marker in _TABLES or marker == _SCAN:
            tables.append(bytes((0xFF, marker)) + segment)
        elif marker not in _APP_OR_COMMENT:
            raise PhotoError(f"photo: a JPEG marker {marker:#04x} that we do not take")
        if marker == _SCAN:
            if not framed:
                raise PhotoError("photo: a JPEG scan before its frame")
            end = _scan_end(data, at)
            tables.append(data[at:end])
            at, scans = end, scans + 1
    if not scans:
        raise PhotoError("photo: a JPEG without a picture")
    return b"".join((_SOI, _upright(turn), *tables, _EOI))


def _marker(data: bytes, at: int) -> tuple[int, int]:
    """The marker at this place, and where its segment begins."""
    if data[at] != 0xFF:
        raise PhotoError("photo: a JPEG marker is missing")
    while data[at] == 0xFF:
        at += 1
    return data[at], at + 1


def _scan_end(data: bytes, at: int) -> int:
    """Where the compressed pixels end: at the first marker that is no restart."""
    while True:
        at = data.find(b"\xff", at)
        if at < 0:
            raise PhotoError("photo: a JPEG scan breaks off")
        follows = data[at + 1]
        if follows != 0 and not 0xD0 <= follows <= 0xD7:
            return at
        at += 2


def _orientation(body: bytes) -> int | None:
    """The only thing in Exif that is needed to draw the picture; None when it is not told."""
    if not body.startswith(b"Exif\x00\x00"):
        return None
    tiff = body[6:]
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None or len(tiff) < 8:
        return None
    (first,) = struct.unpack_from(f"{order}I", tiff, 4)
    if first + 2 > len(tiff):
        return None
    (count,) = struct.unpack_from(f"{order}H", tiff, first)
    for number in range(min(count, 200)):
        place = first + 2 + 12 * number
        if place + 12 > len(tiff):
            return None
        tag, kind, _, value = struct.unpack_from(f"{order}HHIH", tiff, place)
        if tag == _ORIENTATION and kind == 3 and 1 <= value <= 8:
            return int(value)
    return None


def _upright(turn: int) -> bytes:
    """An Exif segment that tells which way is up, and nothing else."""
    if turn == 1:
        return b""
    tiff = struct.pack(">2sHIHHHIHHI", b"MM", 42, 8, 1, _ORIENTATION, 3, 1, turn, 0, 0)
    body = b"Exif\x00\x00" + tiff
    return struct.pack(">BBH", 0xFF, _APP1, len(body) + 2) + body


# --- PNG ----------------------------------------------------------------------------------------


def _png(data: bytes) -> bytes:
    kept = [_PNG_SIGN]
    at, seen = len(_PNG_SIGN), list[bytes]()
    for _ in range(_CHUNKS_MAX):
        length, name = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            raise PhotoError("photo: a PNG chunk breaks off")
        (told,) = struct.unpack_from(">I", data, end - 4)
        if zlib.crc32(data[at + 4 : end - 4]) != told:
            raise PhotoError(f"photo: a PNG chunk {name!r} is damaged")
        if not seen and name != b"IHDR":
            raise PhotoError("photo: a PNG that does not begin with its header")
        if name == b"IHDR":
            if seen or length != 13:
                raise PhotoError("photo: a PNG with a wrong header")
            _check_size(*struct.unpack_from(">II", data, at + 8))
        if name in _PNG_KEPT:
            kept.append(data[at:end])
        elif name[0:1].isupper():
            raise PhotoError(f"photo: a PNG chunk {name!r} that we do not take")
        seen.append(name)
        at = end
        if name == b"IEND":
            break
    if b"IDAT" not in seen or seen[-1] != b"IEND":
        raise PhotoError("photo: a PNG without a picture")
    return b"".join(kept)
