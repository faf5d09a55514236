"""What the OpenAPI document allows, and what it does not: nothing of it may be an error of ours.

Schemathesis makes the requests: as nobody, and as a program with all rights.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.support.fleet_fakes import LOCAL_TOKEN
from tests.support.machine import PROVE
from tests.support.whole_town import whole_town

schemathesis = pytest.importorskip("schemathesis")
response_schema_conformance = pytest.importorskip(
    "schemathesis.specs.openapi.checks"
).response_schema_conformance

#: Examples of each operation: a few at every push, many in the long proofs.
EXAMPLES = 60 if PROVE else 2
ANSWER_WITHIN_S = 60.0


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A fleet with all its parts, in a loop of its own: requests are made from this thread."""
    folder = tmp_path_factory.mktemp("fuzz")
    served, over = threading.Event(), asyncio.Event()
    found: list[str] = []
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        async with whole_town(folder) as whole:
            found.append(whole.town.url)
            served.set()
            await over.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert served.wait(ANSWER_WITHIN_S)
    yield found[0]
    loops[0].call_soon_threadsafe(over.set)
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
        told = (operation.label, reply.status_code, case.as_curl_command())
        assert reply.status_code < 500, told
        kind = reply.headers.get("content-type", [""])[0].partition(";")[0]
        if reply.status_code >= 400:  # the one shape of an error
            assert kind == "application/json", told
            assert set(reply.json()["error"]) >= {"code", "message"}, told
        elif reply.status_code < 300:
            case.validate_response(reply, checks=[response_schema_conformance], headers=headers)

    once()
