"""The support bundle: everything a support needs, and none of the planted secrets."""

from __future__ import annotations

import base64
import tarfile
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from cabinet.config_example import example_config
from cabinet.core.redact import MASK, SECRET_CHARS_MIN, Redactor
from cabinet.main import app

PASSWORD = "hunter2-and-a-half"
GROUP_KEY = base64.b64encode(bytes(range(32))).decode()
SIGNING_KEY = base64.b64encode(bytes(range(64, 96))).decode()
TOKEN = "yz1.DH-0001.c2VjcmV0LXRva2VuLW9mLXRoZS1mbGVldA"
PHONE = "+8613800138000"


def private_key() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def planted(tmp_path: Path) -> tuple[Path, Path, list[str]]:
    """A cabinet whose secrets stand where they belong, and in a log where they do not."""
    pem = private_key()
    data = tmp_path / "data"
    vault = data / "credentials" / "v-1"
    vault.mkdir(parents=True)
    (vault / "client.pem").write_text(pem)
    (vault / "group.key").write_text(GROUP_KEY + "\n")
    (vault.parent / "current").symlink_to("v-1")
    (data / "commissioning.key").write_text(SIGNING_KEY + "\n")
    (tmp_path / "mqtt-password").write_text(PASSWORD + "\n")
    config = tmp_path / "cabinet.toml"
    text = example_config(
        data_dir=data, credentials_dir=str(data / "credentials"), run_dir=tmp_path
    )
    text = text.replace("telemetry_s", 'password_file = "mqtt-password"\ntelemetry_s', 1)
    config.write_text(text.replace("port = 8080", "port = 0"))
    raw = base64.b64decode(GROUP_KEY)
    log = tmp_path / "cabinetd.log"
    log.write_text(
        f"connected with {PASSWORD}\n"
        f"password: {PASSWORD!r} url mqtts://dh:{PASSWORD}@broker:8883\n"
        f'{{"group_key": "{GROUP_KEY}", "hex": "{raw.hex()}", "spaced": "{raw.hex(" ")}"}}\n'
        f"Authorization: Bearer {TOKEN}\n--token {TOKEN} token={TOKEN}\n"
        f"rider {PHONE} came\nkey {SIGNING_KEY}\n{pem}\nplain words stay\n"
    )
    body = [line for line in pem.splitlines() if line and not line.startswith("-----")]
    return config, log, [PASSWORD, GROUP_KEY, SIGNING_KEY, raw.hex(), raw.hex(" "), PHONE, *body]


def unpacked(path: Path) -> dict[str, str]:
    found = {}
    with tarfile.open(path) as tar:
        for member in tar.getmembers():
            file = tar.extractfile(member)
            assert file is not None
            found[member.name.partition("/")[2]] = file.read().decode()
    return found


def diagnose(config: Path, log: Path, out: Path) -> int:
    arguments = ["diagnose", "--config", str(config), "--out", str(out), "--log", str(log)]
    return CliRunner().invoke(app, arguments).exit_code


@pytest.mark.parametrize("broken", [False, True], ids=["good-config", "broken-config"])
def test_planted_secrets_never_appear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: bool
) -> None:
    config, log, secrets = planted(tmp_path)
    monkeypatch.setenv("CABINETD__FLEET__USERNAME", "dh-0001")
    monkeypatch.setenv("FLEET_TOKEN", TOKEN)
    if broken:
        config.write_text(config.read_text() + "\n[nonsense]\nmqtt_password = 'in-the-open'\n")
        secrets.append("in-the-open")
    out = tmp_path / "bundle.tar.gz"
    assert diagnose(config, log, out) == 0
    texts = unpacked(out)
    for name, text in texts.items():
        for secret in [*secrets, TOKEN]:
            assert secret not in text, (name, secret)
    told = texts["log-1-cabinetd.log"]
    assert "plain words stay" in told
    assert MASK in told
    assert "mqtts://dh:" in told
    assert out.stat().st_mode & 0o077 == 0


def test_the_bundle_tells_what_is_there(tmp_path: Path) -> None:
    config, log, _ = planted(tmp_path)
    out = tmp_path / "bundle.tar.gz"
    assert diagnose(config, log, out) == 0
    texts = unpacked(out)
    assert {"cabinet.toml", "check-config.txt", "system.txt", "ports.txt", "files.txt"} <= set(
        texts
    )
    assert "bus bus-a" in texts["ports.txt"]
    assert "client.pem" in texts["files.txt"]
    assert 'id = "DH-0001"' in texts["cabinet.toml"]
    assert 'password_file = "mqtt-password"' in texts["cabinet.toml"]
    assert diagnose(config, log, out) == 1  # never over another one


def test_without_a_configuration_it_still_works(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text("hello")
    out = tmp_path / "bundle.tar.gz"
    assert diagnose(tmp_path / "none.toml", log, out) == 0
    assert "cannot be read" in unpacked(out)["check-config.txt"]


@settings(max_examples=50)
@given(
    st.text("abcdefXYZ0123456789+/=-_", min_size=SECRET_CHARS_MIN, max_size=40),
    st.text(max_size=40),
    st.text(max_size=40),
)
def test_a_known_secret_is_taken_out_wherever_it_stands(
    secret: str, before: str, after: str
) -> None:
    redactor = Redactor([secret.encode()])
    cleaned = redactor.text(f"{before}{secret}{after} {secret.encode().hex()}")
    assert secret.encode().hex() not in cleaned
    assert secret not in cleaned.replace(MASK, "")


@pytest.mark.parametrize(
    ("text", "stays"),
    [
        ("password_file = \"mqtt-password\"", "mqtt-password"),
        ("credentials_dir = '/var/lib/x'", "/var/lib/x"),
        ("voltage 54.6 V, 13 cells", "54.6 V, 13 cells"),
        ("epoch 1764146400123", "1764146400123"),
        ("no password: false", "false"),
        ("mapping: bus-a", "bus-a"),
    ],
)  # fmt: skip
def test_innocent_texts_stay(text: str, stays: str) -> None:
    assert stays in Redactor().text(text)


@pytest.mark.parametrize(
    "text",
    [
        'api_key = "abc123"',
        "Authorization: Basic dXNlcjpwYXNz",
        "token=abc.def-ghi",
        '{"secret": "x y z"}',
        "mqtt://user:pa55@host",
        "rider 13912345678",
        "enrol yz1.DH-0001.c2VjcmV0",
        "pin: 13912345678",
    ],
)
def test_what_looks_like_a_secret_goes(text: str) -> None:
    cleaned = Redactor().text(text)
    assert MASK in cleaned
    for secret in ("abc123", "dXNlcjpwYXNz", "abc.def", "x y z", "pa55", "13912345678", "c2VjcmV0"):
        assert secret not in cleaned
