"""Pictures from strangers: only the picture comes through."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.core.photos import JPEG, PHOTO_BYTES_MAX, PNG, PhotoError, strip
from fleet.core.reports import clean_text
from fleet.core.sockets import bill
from fleet.errors import InvalidError


def segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


def frame(width: int = 40, height: int = 30) -> bytes:
    return segment(0xC0, struct.pack(">BHHB", 8, height, width, 1) + b"\x01\x11\x00")


def exif(turn: int = 6, order: str = "<") -> bytes:
    mark = b"II" if order == "<" else b"MM"
    tiff = mark + struct.pack(f"{order}HI", 42, 8)
    tiff += struct.pack(f"{order}HHHIHHI", 1, 0x0112, 3, 1, turn, 0, 0)
    return segment(0xE1, b"Exif\x00\x00" + tiff + b"GPS 39.94 116.39")


SCAN = segment(0xDA, b"\x01\x01\x00\x00\x3f\x00") + b"pixels\xff\x00more\xff\xd0rest"


def jpeg(*extra: bytes, size: tuple[int, int] = (40, 30), tail: bytes = b"") -> bytes:
    parts = (b"\xff\xd8", segment(0xE0, b"JFIF\x00\x01"), *extra, segment(0xDB, b"\x00" * 65))
    return b"".join((*parts, frame(*size), SCAN, b"\xff\xd9", tail))


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(*extra: bytes, size: tuple[int, int] = (4, 3), tail: bytes = b"") -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"\x00" * 15))
    return b"".join((b"\x89PNG\r\n\x1a\n", header, *extra, pixels, chunk(b"IEND", b""), tail))


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_jpeg_loses_its_place_and_keeps_its_turn(order: str) -> None:
    made = strip(jpeg(exif(6, order), segment(0xFE, b"<script>"), tail=b"PK\x03\x04zip"))
    assert made.media_type == JPEG
    for secret in (b"GPS", b"script", b"zip", b"JFIF"):
        assert secret not in made.body
    assert b"pixels\xff\x00more\xff\xd0rest" in made.body
    assert made.body.endswith(b"\xff\xd9")
    assert strip(made.body) == made  # the turn survives a second time
    assert b"Exif" in made.body
    assert b"Exif" not in strip(jpeg(exif(1))).body


def test_a_png_keeps_its_pixels_only() -> None:
    made = strip(png(chunk(b"tEXt", b"Comment\x00secret"), chunk(b"eXIf", b"GPS"), tail=b"zip"))
    assert made.media_type == PNG
    assert made.body == png()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GIF89a" + b"\x00" * 40,
        b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        b"\xff\xd8\xff\xd9",
        jpeg()[:60],
        jpeg(frame()),  # two frames
        jpeg(segment(0xC9, b"arithmetic")),
        jpeg(size=(0, 30)),
        jpeg(size=(50_000, 50_000)),
        jpeg().replace(frame(), b""),
        png()[:-6],
        png(chunk(b"ABCD", b"critical")),
        png(size=(60_000, 60_000)),
        png().replace(b"IDAT", b"IDAT", 1)[:45] + b"\x00" + png()[46:],
        b"\x89PNG\r\n\x1a\n" + chunk(b"IEND", b""),
        b"\xff\xd8" + b"\x00" * PHOTO_BYTES_MAX,
    ],
)
def test_everything_else_is_refused(data: bytes) -> None:
    with pytest.raises(PhotoError):
        strip(data)


@given(st.binary(max_size=200), st.sampled_from([jpeg(exif()), png()]), st.data())
def test_damage_is_refused_or_harmless(noise: bytes, good: bytes, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(good)))
    for damaged in (good[:place] + noise + good[place:], good[:place] + noise, noise):
        try:
            made = strip(damaged)
        except PhotoError:
            continue
        assert strip(made.body) == made
        assert b"GPS" not in made.body or b"GPS" in noise


def test_texts_are_plain() -> None:
    assert clean_text("text", " a\x00b\r\nc\u202e ", 10) == "ab\nc"
    with pytest.raises(InvalidError, match="1 to 3"):
        clean_text("text", "\x07", 3, least=1)


@given(st.integers(0, 10_000), st.integers(0, 86_400), st.integers(0, 500), st.integers(0, 500))
def test_a_bill_is_what_the_prices_say(energy_wh: int, time_s: int, kwh: int, hour: int) -> None:
    exact = energy_wh * kwh / 1_000 + time_s * hour / 3_600
    assert abs(bill(energy_wh, time_s, kwh, hour) - exact) <= 1.0
    assert bill(energy_wh, time_s, 0, 0) == 0
