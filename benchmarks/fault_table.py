"""Every fault of the catalogue put at a mock board: how it is told of, when, and what the outputs do then.

    python benchmarks/fault_table.py > docs/faults.md

Prints the page docs/faults.md, and ends with 1 if a fault is neither told of, nor harmless, nor within the band. 20 s
of CPU.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

HEAD = """# Faults

Each fault of `firmware_bridge.mock.faults.catalogue`, put where no driver can see it, and what became of it. Made by
`python benchmarks/fault_table.py > docs/faults.md`; `tests/drivers/test_self_test.py` holds every row.

*At opening*: present before `drivers.self_test.self_test`, {self_test:.1f} ms of board time. *At work*: sets in after
the board has been taken for known; then come 32 products and one look of `drivers.self_test.Watch`, {look:.1f} ms. A
look per second of board time is {share:.1%} of it; a fault is told of within a second. The
time is that from the fault to the error, products included. When the error is raised outputs are safe: bit lines
off, muxes released, DACs reset.

What the self-test cannot tell at opening looks like an array that conducts little, or like another array: broken lines,
an open mux, supplies within the span, cells that moved. It names the lines of which it could not tell, and does not
refuse them: cells that were never formed look so. It shows when the array is programmed, calibrated, or taken for
known.

*Harmless*: nothing is said, and all products after the first batch are bit-identical to those of a board without
the fault. *Within the band*: nothing is said, and those products are off by what cells would make that moved by the
rms given, which is no more than the watch leaves to relaxation and telegraph noise ({band:.1f} µS); a sampler pays for
it in acceptance, not in truth ([theory](theory.md), and a run of it in [reliability](reliability.md)).

Faults of the link are repaired or end in `ConnectionLost`, whatever their kind (`firmware_bridge.remote.faults`,
`tests/firmware_bridge/remote/test_link_faults.py`).

**What is told of too late to do no harm**: a 595 bit that sticks at work and puts the amplifiers on the forming level
biases the cells by 1.5 V, gates fully on, until the block of products that it meets has ended and its codes are
looked at. Cells will have been SET: take none of them for known afterwards. At opening the self-test meets the same
fault with gates that let cells pass microamperes only.

| fault | at opening | at work, told after (ms) | what the user is told | outputs |
|---|---|---|---|---|"""


def main() -> int:
    from fault_trials import trial

    from drivers.connect import open_crossbar
    from drivers.self_test import CELLS_S, Watch, self_test
    from firmware_bridge.mock.faults.catalogue import CATALOGUE

    with open_crossbar("mock", seed=1) as crossbar:
        tested = self_test(crossbar)
        watch = Watch(crossbar)
        watch.look()
        look_s = watch.cycles * crossbar.board.timing.period_s
    print(HEAD.format(self_test=tested.board_time_s * 1e3, look=look_s * 1e3, share=look_s, band=CELLS_S * 1e6))
    silent = []
    for name in CATALOGUE:
        seen = trial(name)
        told = seen.at_work or seen.at_open
        if told is None and not seen.within_band:
            silent.append(name)
        at_work = f"{seen.after_s * 1e3:.1f}"
        if seen.moved_s is not None:
            at_work = "harmless" if seen.harmless else f"{seen.moved_s * 1e6:.2f} µS"
            at_work += ", within the band" if seen.within_band and not seen.harmless else ""
        text = "" if told is None else told.split("; outputs are safe")[0].split(" (ADS8324")[0].replace("|", "\\|")
        state = "NOT SAFE" if not seen.safe else "safe" if told else "as they were"
        print(f"| {name} | {'told' if seen.at_open else 'not told'} | {at_work} | {text} | {state} |")
    print(f"\nNeither told of, nor harmless, nor within the band: {', '.join(silent) or 'none'}.")
    return len(silent) > 0


if __name__ == "__main__":
    sys.exit(main())
