"""Other people's files are what their lock says, and come with their licence."""

from __future__ import annotations

import hashlib
import tomllib

from fleet.web.vendor import VENDOR, qr_worker

LOCK = tomllib.loads((VENDOR / "vendor.toml").read_text(encoding="utf-8"))["package"]
#: What may stand beside a program under Apache-2.0.
LICENCES = {"MIT", "BSD-2-Clause", "BSD-3-Clause", "0BSD", "ISC", "Apache-2.0"}


def test_every_file_is_locked_and_as_it_was_published() -> None:
    there = {file.name for file in VENDOR.iterdir()} - {"vendor.toml"}
    locked = {name: digest for package in LOCK for name, digest in package["files"].items()}
    assert there == locked.keys()
    for name, digest in locked.items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest, name


def test_every_package_names_its_origin_and_brings_its_licence() -> None:
    for package in LOCK:
        assert {"name", "version", "licence", "source", "integrity", "why"} <= package.keys()
        assert package["licence"] in LICENCES
        (licence,) = [name for name in package["files"] if name.endswith("LICENSE")]
        assert "Permission is hereby granted" in (VENDOR / licence).read_text(encoding="utf-8")


def test_the_worker_is_a_whole_script_that_needs_no_eval() -> None:
    text = qr_worker().decode()
    assert text.startswith("class")
    assert "self.onmessage" in text[-1_000:]
    assert text.count("{") == text.count("}")
    for word in ("eval(", "new Function", "importScripts", "http"):
        assert word not in text
