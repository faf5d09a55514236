"""``python -m tests.crash --swaps 300 --kills 100 --seed 1``: exit code 0 when nothing was lost."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from tests.crash.harness import Plan, run
from tests.support.stack import ARTIFACTS


def main() -> int:
    """Run it and print the table; the run's folder is kept in the artefacts when it failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--swaps", type=int, default=300)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cabinets", type=int, default=3)
    parser.add_argument("--broker", choices=("nats", "mosquitto"), default="nats")
    options = parser.parse_args()
    plan = Plan(options.swaps, options.kills, options.seed, options.cabinets, options.broker)
    with tempfile.TemporaryDirectory(prefix="yz-crash-") as folder:
        outcome = run(plan, Path(folder), lambda line: print(line, file=sys.stderr, flush=True))
        if not outcome.good:
            kept = ARTIFACTS / "crash" / f"seed-{plan.seed}"
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(folder, kept, ignore=shutil.ignore_patterns("wires", "broker"))
            print(f"kept in {kept}", file=sys.stderr)
    print(outcome.table())
    return 0 if outcome.good else 1


if __name__ == "__main__":
    sys.exit(main())
