"""Reads a Value Change Dump and holds every interval against the datasheets. Knows pins and parts, not this project."""

from dataclasses import dataclass

import numpy as np

# ns. DAC80508, SLASEL1: timing requirements at VIO 2.7 V to 5.5 V.
DAC = {"period": 20, "high": 9, "low": 9, "tSDIS": 5, "tSDIH": 10, "tCSS": 13, "tCSH": 10, "tCSHIGH": 15}
READ_PERIOD = {False: 1e3 / 18, True: 1e3 / 25}  # by FSDO
# SN74HC595 at 3.3 V: 10 MHz, 50 ns; no hold.
CHAIN = {"period": 100, "high": 50, "low": 50, "SER setup": 50, "latch setup": 50, "RCLK high": 50}
# ADS8324, SBAS172: DCLOCK 24 kHz to 1.2 MHz, 24 clocks for a conversion.
ADC = {"period": 1e3 / 1.2, "longest period": 1e6 / 24, "high": 200, "low": 200, "CS high": 200}
ADC_CLOCKS, ADC_LOW_CLOCKS = 24, 20


@dataclass(frozen=True)
class Violation:
    """`parameter` of `chip` is `value`, not within `limit`, at `time` ns."""

    parameter: str
    chip: str
    time: float
    value: float
    limit: float


class Signal:
    """A pin: levels from times on, ns."""

    def __init__(self, times, levels):
        self.times, self.levels = np.asarray(times, np.int64), np.asarray(levels, np.int8)

    def edges(self, level):
        """Times at which it goes to `level`."""
        return self.times[1:][self.levels[1:] == level]

    def at(self, times):
        """Levels just before `times`."""
        return self.levels[np.maximum(np.searchsorted(self.times, times, "left") - 1, 0)]


def read_vcd(path):
    """Signals by name, and the time at which the dump ends."""
    names, times, levels, now = {}, {}, {}, 0
    with open(path) as file:
        for line in file:
            words = line.split()
            if words[:1] == ["$timescale"]:
                assert words[1] == "1ns"
            elif words[:1] == ["$var"]:
                assert words[1:3] == ["wire", "1"]
                names[words[3]] = words[4]
                times[words[3]], levels[words[3]] = [], []
            elif line[0] == "#":
                assert int(line[1:]) >= now
                now = int(line[1:])
            elif line[0] in "01":
                identifier = line[1:].strip()
                times[identifier].append(now)
                levels[identifier].append(int(line[0]))
    return {name: Signal(times[i], levels[i]) for i, name in names.items()}, now


def violations(signals, end):
    """All that the parts' datasheets forbid in a dump."""
    found = []
    for chip in sorted({name.partition("_")[0] for name in signals if name.startswith(("dac", "adc"))}):
        pins = {name.partition("_")[2]: s for name, s in signals.items() if name.startswith(chip + "_")}
        found += _dac(chip, pins) if chip.startswith("dac") else _adc(chip, pins, end)
    return found + _chain({name[3:]: s for name, s in signals.items() if name.startswith("sr_")})


def frames(pins):
    """Words that a DAC captured, as hexadecimal text: SDI at falling edges of SCLK while CS is low."""
    selects, falls = pins["cs_n"].edges(0), pins["sclk"].edges(0)
    frame = np.searchsorted(selects, falls, "right") - 1
    bits = pins["sdi"].at(falls)
    words = np.split(bits, np.searchsorted(frame, np.arange(1, len(selects))))
    return [f"{int(''.join(map(str, w)) or '0', 2):0{max(1, len(w) // 4)}x}" for w in words] if len(selects) else []


class _Check:
    def __init__(self, chip):
        self.chip, self.found = chip, []

    def __call__(self, parameter, times, values, low=None, high=None):
        """Values that must not be below `low` or above `high`."""
        values = np.broadcast_to(values, np.shape(times))
        limit = low if low is not None else high
        # A decimal of a nanosecond is rounding of the dump's timescale.
        bad = values < low - 0.1 if low is not None else values > high + 0.1
        pairs = zip(times[bad], values[bad], strict=True)
        self.found += [Violation(parameter, self.chip, float(t), float(v), limit) for t, v in pairs]


def _clocks(clock, group_of):
    """Rising and falling edges of a clock that rests low, pairwise; the frame or conversion of each, from its rise."""
    rise, fall = clock.edges(1), clock.edges(0)
    assert clock.levels[0] == 0
    return rise[: len(fall)], fall, group_of(rise[: len(fall)])


def _around(data, edges):
    """Time from the last change of `data` to each edge, and to its next change; infinite if there is none."""
    changes = np.concatenate([[-np.inf], data.times[1:], [np.inf]])
    after = np.searchsorted(changes, edges, "right")
    before = edges - changes[after - 1]
    # A change in the instant of the edge leaves neither setup nor hold.
    return before, np.where(before == 0, 0, changes[np.minimum(after, len(changes) - 1)] - edges)


def _dac(chip, pins):
    check = _Check(chip)
    select, release = pins["cs_n"].edges(0), pins["cs_n"].edges(1)
    release = release[: len(select)]
    rise, fall, frame = _clocks(pins["sclk"], lambda t: np.searchsorted(select, t, "right") - 1)
    inside = (frame >= 0) & (fall < np.append(release, np.inf)[frame])
    check("SCLK while CS is high", rise, np.where(inside, 1, 0), low=1)
    check("high", rise, fall - rise, low=DAC["high"])
    same = frame[1:] == frame[:-1]
    check("low", fall[:-1][same], (rise[1:] - fall[:-1])[same], low=DAC["low"])
    check("period", rise[:-1][same], np.diff(rise)[same], low=DAC["period"])
    first = np.flatnonzero(np.diff(frame, prepend=-1))
    check("tCSS", rise[first], rise[first] - select[frame[first]], low=DAC["tCSS"])
    last = np.append(first[1:] - 1, len(frame) - 1) if len(first) else first
    check("tCSH", fall[last], np.append(release, np.inf)[frame[last]] - fall[last], low=DAC["tCSH"])
    gaps = select[1:] - release[: len(select) - 1]
    check("tCSHIGH", select[1:], gaps, low=DAC["tCSHIGH"])
    before, after = _around(pins["sdi"], fall)
    check("tSDIS", fall, before, low=DAC["tSDIS"])
    check("tSDIH", fall, after, low=DAC["tSDIH"])
    clocks = np.bincount(frame[frame >= 0], minlength=len(select))
    check("clocks of a frame", select, np.where(np.isin(clocks, (24, 32)), 24, clocks), low=24)
    # What is asked for by one frame is captured in the next, at the slower clock.
    fsdo = reading = False
    for k, word in enumerate(frames(pins)):
        if reading:
            mine = np.flatnonzero(frame == k)
            check("read period", rise[mine][:-1], np.diff(rise[mine]), low=READ_PERIOD[fsdo])
        value = int(word[:6], 16)
        reading = bool(value >> 23)
        if value >> 16 == 3:
            fsdo = bool(value >> 10 & 1)
    return check.found


def _chain(pins):
    check = _Check("chain")
    latches, unlatches = pins["rclk"].edges(1), pins["rclk"].edges(0)
    rise, fall, word = _clocks(pins["srclk"], lambda t: np.searchsorted(latches, t, "right"))
    check("high", rise, fall - rise, low=CHAIN["high"])
    check("low", fall[:-1], rise[1:] - fall[:-1], low=CHAIN["low"])
    check("period", rise[:-1], np.diff(rise), low=CHAIN["period"])
    # It needs no hold: SER that changes in the instant of the edge has no setup.
    check("SER setup", rise, _around(pins["ser"], rise)[0], low=CHAIN["SER setup"])
    ends = np.flatnonzero(np.diff(word, append=len(latches) + 1))[: len(latches)]
    check("latch setup", latches[: len(ends)], latches[: len(ends)] - rise[ends], low=CHAIN["latch setup"])
    latches = latches[: len(unlatches)]
    check("RCLK high", latches, unlatches - latches, low=CHAIN["RCLK high"])
    return check.found


def _adc(chip, pins, end):
    check = _Check(chip)
    begin, release = pins["cs_n"].edges(0), pins["cs_n"].edges(1)
    rise, fall, conversion = _clocks(pins["dclock"], lambda t: np.searchsorted(begin, t, "right") - 1)
    check("high", rise, fall - rise, low=ADC["high"])
    check("low", fall[:-1], rise[1:] - fall[:-1], low=ADC["low"])
    same = conversion[1:] == conversion[:-1]
    for limits in ({"low": ADC["period"]}, {"high": ADC["longest period"]}):
        check("DCLOCK period", rise[:-1][same], np.diff(rise)[same], **limits)
    clocks = np.bincount(conversion[conversion >= 0], minlength=len(begin))
    check("clocks of a conversion", begin, clocks, low=ADC_CLOCKS)
    # The low half of the first clock begins with CS.
    first = np.flatnonzero(np.diff(conversion, prepend=-1))
    check("low", begin[conversion[first]], rise[first] - begin[conversion[first]], low=ADC["low"])
    ends = np.append(release, np.full(max(0, len(begin) - len(release)), end))[: len(begin)]
    low_clocks = np.searchsorted(fall, ends, "right") - np.searchsorted(fall, begin, "right")
    check("clocks with CS low", begin, low_clocks, low=ADC_LOW_CLOCKS)
    # CS must go high between conversions.
    check("clocks with CS low", begin, low_clocks, high=ADC_CLOCKS)
    check("CS high", begin[1:], begin[1:] - ends[:-1], low=ADC["CS high"])
    return check.found
