"""As in production: Mosquitto of its own with deploy's configuration, JSON logs, Prometheus's checks."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from deploy.demo.processes import LOOPBACK, free_port
from deploy.demo.stack import Options
from deploy.demo.waiting import until
from tests.support.mosquitto import ProductionStack
from tests.support.stack import SystemStack, parse_metrics, read_rows, running

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
WITHIN_S = 60.0
JSON_LOG = {"log": {"format": "json", "level": "info"}}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SystemStack]:
    options = Options(
        fleet_values={"broker": {"mode": "external"}, **JSON_LOG}, cabinet_values=JSON_LOG
    )
    folder = tmp_path_factory.mktemp("yz")
    with running("test_production", folder, options, kind=ProductionStack) as started:
        started.login()
        yield started


def test_a_swap_at_a_broker_of_its_own(stack: SystemStack) -> None:
    assert json.loads((stack.fleet_data / "ready.json").read_text())["broker"] == "external"
    ((serial,),) = read_rows(
        stack.fleet_db, f"SELECT serial FROM battery WHERE holder = 'rider:{stack.rider_id}'"
    )
    swap, _ = stack.whole_swap(serial)
    stack.assert_truth_is_ledger()
    assert stack.fleet("health") == "broker: ok\nstore: ok\n"
    logs_name_the_swap(stack, swap)


def logs_name_the_swap(stack: SystemStack, swap: str) -> None:
    cabinet = stack.options.cabinet_id

    def told(name: str) -> bool:
        rows = [row for row in json_lines(stack, name) if row.get("swap") == swap]
        assert {row["cabinet"] for row in rows} <= {cabinet}
        return any("ompleted" in row["message"] for row in rows)

    until(lambda: told("fleetd"), within_s=WITHIN_S, what="the swap in fleetd's log")
    until(lambda: told("cabinetd"), within_s=WITHIN_S, what="the swap in cabinetd's log")


def json_lines(stack: SystemStack, name: str) -> list[dict[str, str]]:
    """Every line that a program logged."""
    lines = stack.programs[name].log.read_text().splitlines()
    # What it tells people on stdout is no log; the trial's SMS sender prints there, too.
    people = ("ready ", "cabinetd ", "SMS to ", "first administrator")
    rows = [json.loads(line) for line in lines if not line.startswith(people)]
    assert rows, f"{name} logs nothing"
    for row in rows:
        assert row.keys() >= {"time", "level", "logger", "message"}
    return rows


def test_what_both_programs_export_is_as_prometheus_wants_it(stack: SystemStack) -> None:
    for url in (stack.fleet_url, stack.cabinet_url):
        text = httpx2.get(f"{url}/metrics", trust_env=False).content
        assert len(text) > 1_000
        ran = subprocess.run(
            ["promtool", "check", "metrics"],
            input=text,
            capture_output=True,
            timeout=60,
            check=False,
        )
        said = (ran.stdout + ran.stderr).decode()
        assert (ran.returncode, said) == (0, ""), url


def secrets_of(stack: SystemStack) -> set[str]:
    """Every long line of a file that only its owner may know, and the token of the enrolment."""
    found = {stack.cabinet_row["token"]}
    for folder in (stack.fleet_data, stack.cabinet_data):
        for path in folder.rglob("*"):
            if path.is_file() and path.suffix in {"", ".key", ".pem", ".token"} and is_text(path):
                found |= {line for line in path.read_text().split() if len(line) >= 20}
    public = set((stack.fleet_data / "pki/ca.crt").read_text().split())
    return found - public


def is_text(path: Path) -> bool:
    data = path.read_bytes()
    return data.isascii() and b"\0" not in data


def test_no_log_tells_a_secret(stack: SystemStack) -> None:
    secrets = secrets_of(stack)
    assert len(secrets) > 10
    for program in stack.programs.values():
        text = program.log.read_text()
        leaked = [secret for secret in secrets if secret in text]
        assert leaked == [], program.name


@pytest.mark.slow
def test_the_cabinet_of_the_containers_joins_and_ends_in_order(
    stack: SystemStack, tmp_path: Path
) -> None:
    """deploy/docker/try.sh: swapsim and cabinetd, as its image starts them."""
    added = json.loads(stack.fleet("cabinet", "add", "DH-0002", "--slots", "12", "--json"))
    token = tmp_path / "token"
    places = {"DATA": str(tmp_path / "data"), "RUN": str(tmp_path / "run"), "CABINET_ID": "DH-0002"}
    for key in ("DATA", "RUN"):
        Path(places[key]).mkdir()
    environment = {
        **os.environ,
        **places,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "TOKEN_FILE": str(token),
        "WEB_PORT": str(free_port()),
    }
    script = ["/bin/sh", str(ROOT / "deploy/docker/try.sh")]
    early = subprocess.run(
        script, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert early.returncode == 1
    assert "give it what `fleetd cabinet add DH-0002` prints" in early.stderr
    token.write_text(added["token"])
    process = subprocess.Popen(script, env=environment)
    try:

        def online() -> bool:
            assert process.poll() is None
            view = stack.rider.cabinet("DH-0002")
            return bool(view and view["online"])

        until(online, within_s=WITHIN_S, what="the new cabinet online", on_timeout=stack.tails)
    finally:
        process.terminate()
        code = process.wait(60)
    assert code == 0


def test_a_disabled_cabinet_stays_outside_once_the_broker_was_handed_the_list(
    stack: SystemStack,
) -> None:
    context = ssl.create_default_context(cafile=stack.fleet_data / "pki/ca.crt")
    (client,) = [p for p in stack.credentials.rglob("*.pem") if "PRIVATE KEY" in p.read_text()]
    context.load_cert_chain(client)

    def refused() -> bool:
        try:
            with (
                socket.create_connection((LOOPBACK, stack.broker_port), 10) as plain,
                context.wrap_socket(plain, server_hostname=LOOPBACK) as tls,
            ):
                tls.settimeout(0.5)
                return tls.recv(1) == b""
        except TimeoutError:
            return False  # it waits for our CONNECT
        except OSError:
            return True

    assert not refused()
    stack.fleet("cabinet", "disable", stack.options.cabinet_id)

    def handed_over() -> bool:
        return "revoked.crl" in stack.fleet("broker-files", str(stack.run_dir / "broker"))

    until(handed_over, within_s=WITHIN_S, what="a new list of revocations")
    until(refused, within_s=WITHIN_S, what="the broker has read it", on_timeout=stack.tails)

    def alone() -> bool:
        """The connection that stood already has ended, and no other came."""
        text = httpx2.get(f"{stack.cabinet_url}/metrics", trust_env=False).text
        return parse_metrics(text)["cabinet_uplink_connected"] == 0.0

    until(alone, within_s=WITHIN_S, what="the cabinet is cut off", on_timeout=stack.tails)
