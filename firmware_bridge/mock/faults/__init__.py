"""Faults for the mock board: put at its pins, its lines and its cells, where neither drivers nor gateware can see them.

    board.faults.add(StuckMiso(dac=2, level=1, from_s=board.array.now_s))

`base` has what a fault is and when it acts, `pins` those between the sequencer and the chips, `lines` those of
supplies, lines and cells. Faults of the link to a board server are `firmware_bridge.remote.faults`.
"""
