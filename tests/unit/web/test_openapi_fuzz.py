"""What the OpenAPI document allows, and what it does not: nothing of it may be an error of ours.

Schemathesis makes the requests: as nobody, and as a program with all rights.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from hypothesis import HealthCheck, Phase, given, settings

from fleet.web.app import stop_streams
from tests.support.fleet_fakes import LOCAL_TOKEN, Town, cabinet
from tests.support.machine import PROVE

schemathesis = pytest.importorskip("schemathesis")

#: Examples of each operation: a few at every push, many in the long proofs.
EXAMPLES = 60 if PROVE else 2
ANSWER_WITHIN_S = 60.0


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    town = Town()
    town.cabinets.put(cabinet())
    app = town.make_app(heartbeat_s=0.2)
    config = uvicorn.Config(app, port=0, log_level="error", access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    waited = threading.Event()
    for _ in range(6_000):
        if server.started:
            break
        waited.wait(0.01)
    assert server.started
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    stop_streams(app)
    server.should_exit = True
    thread.join(ANSWER_WITHIN_S)


@pytest.mark.parametrize("token", ["", LOCAL_TOKEN], ids=["nobody", "all-rights"])
def test_no_request_is_an_error_of_ours(url: str, token: str) -> None:
    schema = schemathesis.openapi.from_url(f"{url}/api/v1/openapi.json")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    tried = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        if not operation.path.endswith("/stream"):  # it does not end by itself
            _try(operation, headers)
            tried += 1
    assert tried >= 30


def _try(operation: Any, headers: dict[str, str]) -> None:
    @given(case=operation.as_strategy())
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def once(case: Any) -> None:
        reply = case.call(headers=headers, timeout=ANSWER_WITHIN_S)
        assert reply.status_code < 500, (operation.label, case.as_curl_command())

    once()
