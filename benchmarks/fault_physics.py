"""Every fault of the catalogue during a φ⁴ run on a mock board: the run is stopped, or its identities hold.

    python benchmarks/fault_physics.py                  # all faults
    python benchmarks/fault_physics.py "broken BL"      # some

The fault sets in after the first of `--batches` batches. Prints a table in Markdown, and ends with 1 if an observable
is biased beyond 4 σ in a run that nobody stopped. Half a minute of CPU for each fault that nobody stops.
"""

from __future__ import annotations

import argparse
import sys

BOUND = 4.0


def main() -> int:
    from firmware_bridge.mock.faults.catalogue import CATALOGUE

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faults", nargs="*", default=list(CATALOGUE))
    parser.add_argument("--batches", type=int, default=8)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print("| fault | run | virial (σ) | zero mode (σ) |\n|---|---|---|---|")
    silent = []
    for name in args.faults:
        stopped, pulls = run(CATALOGUE[name], args.batches, args.batch, args.seed)
        if stopped is None and max(map(abs, pulls)) > BOUND:
            silent.append(name)
        said = "went on" if stopped is None else "stopped: " + stopped.split(";")[0]
        columns = " | ".join(f"{pull:+.1f}" for pull in pulls) or "nothing kept | nothing kept"
        print(f"| {name} | {said} | {columns} |", flush=True)
    print(f"\nSilently biased: {', '.join(silent) or 'none'}.")
    return len(silent) > 0


def run(fault, batches, batch, seed):
    """What stopped a run, if anything did, and the pulls of its identities over the proposals that were kept."""
    from anf.arrays.analog import deploy
    from anf.flows.checkpoint import load_flow, shipped
    from anf.flows.deployed import deployed
    from anf.lattice.actions import Phi4
    from anf.measurement.observables import estimate, measure_series
    from anf.samplers.guard import IDENTITIES, guarded
    from drivers.connect import mock_board, open_crossbar
    from drivers.self_test import SelfTestError, Watch
    from firmware_bridge.errors import LimitError

    action = Phi4(m2=-4.0, lam=5.5, shape=(4, 4))
    flow, _ = load_flow(shipped(action, "mixer"), action)
    with open_crossbar("mock", seed=seed) as crossbar:
        arrays = deploy(flow, [crossbar])
        watch = Watch(crossbar)

        def look():
            watch.look()
            if watch.looks == 1:
                mock_board(crossbar).faults.add(fault())

        try:
            with deployed(flow, {}, arrays.crossbar()):
                segment = guarded(flow, action, batches * batch, seed=seed, batch=batch, look=look)[-1]
        except (LimitError, SelfTestError) as error:
            # A batch whose products were refused: nothing of the run is kept.
            return str(error), ()
        kept = segment.proposals
        found = estimate(action, measure_series(action, kept.phi), log_weights=kept.log_weights)
        return segment.stopped, tuple(found[name].pull for name in IDENTITIES)


if __name__ == "__main__":
    sys.exit(main())
