"""One running stack per module; each ends with a check that nothing of it is left."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.demo.stack import Options
from tests.support.stack import SystemStack, running

#: The broker that the system tests use unless a test names one.
BROKER = os.environ.get("YIZHAN_TEST_BROKER", "nats")


@pytest.fixture(scope="module")
def stack_options() -> Options:
    """A module overrides this to have another cabinet."""
    return Options(broker=BROKER)


@pytest.fixture(scope="module")
def fresh_stack(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    stack_options: Options,
) -> Iterator[SystemStack]:
    """Simulator, fleetd and cabinetd; nobody is logged in."""
    name = Path(str(request.node.path)).stem
    with running(name, tmp_path_factory.mktemp("yz"), stack_options) as started:
        yield started


@pytest.fixture(scope="module")
def stack(fresh_stack: SystemStack) -> SystemStack:
    """The same, with the rider logged in."""
    fresh_stack.login()
    return fresh_stack
