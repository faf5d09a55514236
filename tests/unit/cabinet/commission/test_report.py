"""The signed report: what is signed, and that no change goes unseen."""

from __future__ import annotations

import stat
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from cabinet.commission import report as reports
from cabinet.commission.page import render
from cabinet.commission.report import Report, ReportError, decode, encode, is_genuine, signed
from cabinet.commission.texts import facts_text, subject_name
from cabinet.core.commission.findings import Cause, Check, bad, good
from cabinet.main import app
from protocols.signing import generate

PRIVATE, PUBLIC = generate()
FINDINGS = (
    good(Check.BMS, "slot 1", voltage_v=48.1, serial="</script><b>YZ"),
    bad(Check.LOCK, "slot 2", Cause.LOCK_JAMMED),
)


def made(**changes: object) -> Report:
    plain = Report(
        format=reports.FORMAT,
        cabinet="DH-0001",
        made_at="2026-11-26T09:00:00Z",
        clock_trusted=True,
        software="1",
        technician="张伟",
        config_sha256="0" * 64,
        findings=FINDINGS,
    )
    return msgspec.structs.replace(plain, **changes)


def test_a_report_is_genuine_after_a_trip_through_a_file() -> None:
    whole = signed(made(), PRIVATE)
    assert whole.public_key == PUBLIC
    assert is_genuine(decode(encode(whole)))


@pytest.mark.parametrize(
    "change",
    [
        {"cabinet": "DH-0002"},
        {"made_at": "2026-11-27T09:00:00Z"},
        {"clock_trusted": False},
        {"technician": ""},
        {"config_sha256": "1" * 64},
        {"findings": FINDINGS[:1]},
        {"findings": (FINDINGS[0], good(Check.LOCK, "slot 2"))},
        {"public_key": generate()[1]},
        {"signature": ""},
        {"format": "other"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_any_change_is_seen(change: dict[str, object]) -> None:
    assert not is_genuine(msgspec.structs.replace(signed(made(), PRIVATE), **change))


def test_a_field_that_was_never_signed_is_no_report() -> None:
    data = encode(signed(made(), PRIVATE)).replace(b'"cabinet"', b'"note": "all well", "cabinet"')
    with pytest.raises(ReportError, match="note"):
        decode(data)


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b"<html></html>", b"\xff", b"[" * 10_000])
def test_anything_else_is_no_report(data: bytes) -> None:
    with pytest.raises(ReportError):
        decode(data)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_page_stands_alone_and_holds_the_report(language: str) -> None:
    whole = signed(made(), PRIVATE)
    page = render(whole, "en" if language == "en" else "zh").decode()
    assert decode(page.encode()) == whole
    assert "<b>YZ" not in page.partition('<script type="application/json"')[0]
    assert page.count("</script>") == 1
    assert "src=" not in page
    assert "http://" not in page
    assert "https://" not in page


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["commission", "report", *arguments])
    return done.exit_code, done.output


def test_the_command_verifies_files_and_pages(tmp_path: Path) -> None:
    whole = signed(made(), PRIVATE)
    file, page = tmp_path / "r.json", tmp_path / "r.html"
    file.write_bytes(encode(whole))
    page.write_bytes(render(whole, "zh"))
    for path in (file, page):
        assert run("--verify", str(path), "--trusted", PUBLIC)[0] == 0
        code, told = run("--verify", str(path), "--trusted", generate()[1])
        assert (code, "another key" in told) == (1, True)
    page.write_bytes(render(whole, "zh").replace("不合格".encode(), "正常".encode()))
    assert run("--verify", str(page))[0] == 1
    file.write_bytes(encode(whole).replace(b"lock-jammed", b"needs-yes"))
    code, told = run("--verify", str(file))
    assert (code, "NOT GENUINE" in told) == (1, True)
    assert run("--verify", str(tmp_path / "none"))[0] == 1
    assert run()[0] == 2


def test_the_cabinet_s_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "data" / "commissioning.key"
    private, fresh = reports.own_key(path)
    assert fresh
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert reports.own_key(path) == (private, False)
    path.chmod(0o640)
    with pytest.raises(ReportError, match="chmod 600"):
        reports.own_key(path)
    path.chmod(0o600)
    path.write_text("rubbish")
    with pytest.raises(ReportError, match="no usable"):
        reports.own_key(path)


def test_findings_of_other_commands_are_taken_in_once(tmp_path: Path) -> None:
    path = tmp_path / "walk.json"
    body = {"command": "slot-walk", "findings": msgspec.to_builtins(FINDINGS)}
    path.write_bytes(msgspec.json.encode(body))
    found = reports.findings_in(path)
    assert reports.merge([found, FINDINGS]) == FINDINGS
    path.write_text('{"findings": [{"check": "magic"}]}')
    with pytest.raises(ReportError, match="no output"):
        reports.findings_in(path)


def test_facts_read_like_a_sentence() -> None:
    told = facts_text({"voltage_v": 48.1, "soc_pct": 50, "serial": None, "closed": True, "x": ""})
    assert told == "voltage 48.1 V, soc 50 %, closed yes"
    assert facts_text({"voltage_v": 48.1, "stage": "bms"}, "zh") == "电压 48.1 V，步骤 读电池"
    assert (subject_name("slot 3", "zh"), subject_name("slot 3", "en")) == ("3 号仓", "slot 3")
