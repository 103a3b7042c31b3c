"""Generated sequences of commands, valid and not, with failures at any instant, against a witness at the array.

python benchmarks/campaign/sequences.py --sequences 100000
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "support"))

from command_sequences import SAFE_WITHIN_S, CommandSequence
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test


class Counted(CommandSequence):
    """Counts what happened, over all sequences."""

    sequences = pulses = failures = 0

    def teardown(self) -> None:
        if hasattr(self, "witness"):
            Counted.sequences += 1
            Counted.pulses += int(self.witness.pulses.sum())
        super().teardown()

    def check_safe(self) -> None:
        super().check_safe()
        Counted.failures += 1


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sequences", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    began = time.process_time()
    each = settings(
        max_examples=arguments.sequences, stateful_step_count=12, deadline=None, database=None,
        suppress_health_check=list(HealthCheck), phases=[Phase.generate],
    )  # fmt: skip
    run_state_machine_as_test(seed(arguments.seed)(Counted), settings=each)
    limit_ms, cpu_s = SAFE_WITHIN_S * 1e3, time.process_time() - began
    print(f"{Counted.sequences} sequences of up to 12 commands, seed {arguments.seed}, {cpu_s:.0f} s of CPU")
    print(f"{Counted.pulses} pulses of cells, 0 beyond a limit (limit 0)")
    print(f"{Counted.failures} failures within a program, outputs safe each time within {limit_ms:g} ms (limit)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
