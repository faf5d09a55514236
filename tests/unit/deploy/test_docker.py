"""compose.yml and the Dockerfiles, as far as they can be judged without Docker.

Every path that they name exists, every image is pinned, nobody is root, every root file system is
read-only, every service tells whether it is well, no secret stands in the text, and fleetd takes
the environment that it is given.
"""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from fleet import config as fleet_config
from fleet.main import app as fleetd

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "deploy/docker"
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILES = sorted(FOLDER.glob("*.Dockerfile"))
PINNED = re.compile(r"[a-z0-9./-]+:v?\d+\.\d+(\.\d+)?(-[a-z]+)*")
HOST = "swap.example.cn"
each_service = pytest.mark.parametrize("name", SERVICES)


def instructions(file: Path) -> list[tuple[str, str]]:
    """Instruction and arguments, continued lines joined."""
    joined = re.sub(r"\\\n\s*", "", file.read_text())
    lines = (line.split(None, 1) for line in joined.splitlines() if line[:1].isalpha())
    return [(words[0], words[1]) for words in lines]


def substituted(value: str) -> str:
    """As compose would, with YIZHAN_HOST set and nothing else."""
    return re.sub(r"\$\{YIZHAN_HOST(?::\?[^}]*)?\}", HOST, value)


# --- compose -----------------------------------------------------------------------------------


@each_service
def test_a_service_is_hardened(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.keys() & {"privileged", "cap_add", "devices", "pid", "ipc"}
    assert re.fullmatch(r"[1-9]\d*:\d+", service["user"]), "a number, and not root's"
    assert service["pids_limit"] > 0


@each_service
def test_an_image_is_pinned(name: str) -> None:
    assert PINNED.fullmatch(SERVICES[name]["image"])


@each_service
def test_a_service_tells_whether_it_is_well_or_is_a_job(name: str) -> None:
    service = SERVICES[name]
    check = service.get("healthcheck", {})
    if "jobs" in service.get("profiles", []):
        assert check == {"disable": True}
    elif "build" in service and "test" not in check:
        file = ROOT / service["build"]["dockerfile"]
        assert any(word == "HEALTHCHECK" for word, _ in instructions(file))
    else:
        assert check["test"][0] == "CMD", "without a shell"


@each_service
def test_what_a_service_mounts_exists(name: str) -> None:
    for mount in SERVICES[name].get("volumes", []):
        source, _, mode = (*mount.split(":"), "")[:3]
        if source.startswith("."):
            path = (FOLDER / source).resolve()
            assert path.exists(), mount
            assert path.is_relative_to(ROOT / "deploy")
            assert mode == "ro", "our own files are only read"
        else:
            assert source in COMPOSE["volumes"]


@each_service
def test_what_a_service_refers_to_exists(name: str) -> None:
    service = SERVICES[name]
    assert set(service.get("secrets", [])) <= COMPOSE["secrets"].keys()
    assert set(service.get("networks", [])) <= COMPOSE["networks"].keys()
    for other, how in service.get("depends_on", {}).items():
        if how["condition"] == "service_healthy":
            assert "test" in SERVICES[other]["healthcheck"]
    if "build" in service:
        assert (ROOT / service["build"]["dockerfile"]).exists()
        assert (FOLDER / service["build"]["context"]).resolve() == ROOT


@each_service
def test_only_what_cabinets_need_is_open_to_the_network(name: str) -> None:
    cabinets = {"fleetd": {"8443:8443"}, "mosquitto": {"8883:8883"}}
    open_ports = {port for port in SERVICES[name].get("ports", []) if not port.startswith("127.")}
    assert open_ports == cabinets.get(name, set())


def test_the_database_has_no_way_out() -> None:
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    assert SERVICES["postgres"]["networks"] == ["inside"]
    assert "ports" not in SERVICES["postgres"]


def test_no_secret_stands_in_the_text() -> None:
    for each in COMPOSE["secrets"].values():
        assert each.keys() == {"file"}
        assert each["file"].startswith("./secrets/")
    for service in SERVICES.values():
        for key, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|TOKEN", key):
                assert value.startswith("/run/secrets/"), key
                assert value.removeprefix("/run/secrets/") in service["secrets"]
    for ignored in (ROOT / ".gitignore", ROOT / ".dockerignore"):
        text = ignored.read_text()
        assert "deploy/docker/secrets" in text
        assert "deploy/docker/.env" in text


def test_fleetd_takes_its_environment(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("x")
    environment = {k: substituted(v) for k, v in SERVICES["fleetd"]["environment"].items()}
    assert environment["FLEETD__STORE__PASSWORD_FILE"] == "/run/secrets/fleet-db-password"
    environment["FLEETD__STORE__PASSWORD_FILE"] = str(password)
    text = (FOLDER / "fleet.toml").read_text()
    config = fleet_config.parse(text, "fleet.toml", FOLDER, environment)
    assert config.broker.host in SERVICES
    assert config.broker.mode == "external"
    assert config.store_url == "postgresql://fleetd:x@postgres/fleet"
    assert (config.http.host, config.enrol.host) == ("0.0.0.0", "0.0.0.0")
    assert config.log.format == "json"
    assert str(config.data_dir) in {mount.split(":")[1] for mount in SERVICES["fleetd"]["volumes"]}


def test_the_commands_of_our_services_exist() -> None:
    known = {command.name or command.callback.__name__ for command in fleetd.registered_commands}  # type: ignore[union-attr]
    for service in SERVICES.values():
        if service["image"].startswith("yizhan-fleet") and "command" in service:
            assert service["command"][0] in known


def test_grafana_and_prometheus_get_our_files() -> None:
    dashboards = yaml.safe_load((ROOT / "deploy/monitoring/dashboards.yml").read_text())
    wanted = {each["options"]["path"] for each in dashboards["providers"]}
    mounted = {mount.split(":")[1] for mount in SERVICES["grafana"]["volumes"]}
    assert wanted <= mounted
    scraped = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    targets = {
        t for job in scraped["scrape_configs"] for s in job["static_configs"] for t in s["targets"]
    }
    assert {target.split(":")[0] for target in targets} <= SERVICES.keys()
    assert (
        "../monitoring/alerts.yml:/etc/prometheus/alerts.yml:ro"
        in SERVICES["prometheus"]["volumes"]
    )


# --- Dockerfiles -------------------------------------------------------------------------------


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.name)
def test_a_dockerfile(file: Path) -> None:
    found = instructions(file)
    for word, arguments in found:
        if word == "FROM":
            assert PINNED.fullmatch(arguments.split()[0])
        if word == "RUN" and "pip install" in arguments:
            assert re.search(r"\w==\d", arguments)
        if word == "COPY" and "--from" not in arguments:
            *sources, _ = [part for part in arguments.split() if not part.startswith("--")]
            for source in sources:
                assert (ROOT / source).exists(), source
    last_stage = found[max(i for i, (word, _) in enumerate(found) if word == "FROM") :]
    words = dict(last_stage)
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", words["USER"])
    assert "HEALTHCHECK" in words
    for word in ("ENTRYPOINT", "CMD"):
        if word in words:
            assert json.loads(words[word]), "in exec form, so that signals arrive"
    build = dict(found[: -len(last_stage)])
    for package in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"][
        "targets"
    ]["wheel"]["packages"]:
        assert ("COPY", f"{package} {package}") in found
    assert "--frozen" in build["RUN"], "every package is what uv.lock says"


def test_a_dockerfile_of_each_of_our_images() -> None:
    built = {s["build"]["dockerfile"] for s in SERVICES.values() if "build" in s}
    assert built == {str(file.relative_to(ROOT)) for file in DOCKERFILES}


def test_the_dump_program_is_of_the_servers_version() -> None:
    client = re.search(r"postgresql-client-(\d+)", (FOLDER / "fleet.Dockerfile").read_text())
    server = re.match(r"postgres:(\d+)", SERVICES["postgres"]["image"])
    assert client
    assert server
    assert client[1] == server[1], "pg_dump refuses a server that is newer than itself"


def test_the_scripts_are_sound_and_may_be_run() -> None:
    scripts = [path for path in (ROOT / "deploy").rglob("*.sh") if "secrets/" not in str(path)]
    assert len(scripts) >= 5
    for path in scripts:
        first = path.read_text().splitlines()[0]
        assert first in {"#!/bin/sh", "#!/bin/bash", "#!/usr/bin/env bash"}, path
        assert path.stat().st_mode & stat.S_IXUSR, path
        shell = "bash" if first.endswith("bash") else "sh"
        subprocess.run([shell, "-n", str(path)], check=True, timeout=60)


def test_secrets_are_made_once(tmp_path: Path) -> None:
    script = tmp_path / "secrets.sh"
    script.write_text((FOLDER / "secrets.sh").read_text())
    for _ in range(2):
        subprocess.run(
            ["sh", str(script)], check=True, timeout=60, env={"PATH": os.environ["PATH"]}
        )
        made = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
        assert made.keys() == {Path(each["file"]).name for each in COMPOSE["secrets"].values()}
        passwords = [text for name, text in made.items() if name.endswith("-password")]
        assert all(re.fullmatch("[0-9a-f]{64}", text) for text in passwords)
        assert len(set(passwords)) == len(passwords)
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    before = made
    subprocess.run(["sh", str(script)], check=True, timeout=60)
    assert {p.name: p.read_text() for p in (tmp_path / "secrets").iterdir()} == before


async def test_callers_are_told_apart_behind_the_proxy_and_cannot_name_themselves() -> None:
    """Limits count by address: with the proxy's own all riders of a city would share one."""
    trusted = SERVICES["fleetd"]["environment"]["FORWARDED_ALLOW_IPS"]
    seen: list[str] = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        seen.append(scope["client"][0])

    async def nothing(*_: Any) -> Any:
        raise AssertionError

    behind = ProxyHeadersMiddleware(app, trusted_hosts=trusted)
    for peer, told in (
        ("172.18.0.1", b"203.0.113.7"),
        ("192.168.16.1", b"198.51.100.1, 203.0.113.7"),
        ("203.0.113.7", b"198.51.100.1"),
    ):
        scope = {"type": "http", "client": (peer, 1), "headers": [(b"x-forwarded-for", told)]}
        await behind(scope, nothing, nothing)  # type: ignore[arg-type]
    assert seen == ["203.0.113.7"] * 3
