"""Which pin of the ZC706 carries which port of the gateware.

``python -m firmware_bridge.overlay.pins`` prints xbar.xdc. The board with the array sits on both FMC connectors.
Ports are laid on them in the order of the chips, so that a board of eight DACs and eight ADCs needs the HPC connector
alone.
"""

from __future__ import annotations

from typing import NamedTuple

from firmware_bridge.gateware import N_ADCS, N_DACS

# FPGA pins of LA00_P, LA00_N, LA01_P … LA33_N. Transcribed from published constraints of this kit (Analog Devices'
# reference designs, whose wiring of the LA pairs works on it), not from UG954: compare with its tables of J37 and J5,
# and with the master constraints of the kit, before a board is made or connected.
_HPC_J37 = """
    AF20 AG20 AG21 AH21 AK17 AK18 AH19 AJ19 AJ20 AK20 AH23 AH24 AG22 AH22 AJ23 AJ24 AF19 AG19 AD21 AE21 AG24 AG25 AD23
    AE23 AF23 AF24 AA22 AA23 AC24 AD24 Y22  Y23  AA24 AB24 V23  W24  W25  W26  T24  T25  U25  V26  W29  W30  V27  W28
    P25  P26  T30  U30  T29  U29  R28  T28  V28  V29  P30  R30  R25  R26  P23  P24  N29  P29  P21  R21  N26  N27
"""
_LPC_J5 = """
    AE13 AF13 AF15 AG15 AE12 AF12 AG12 AH12 AJ15 AK15 AE16 AE15 AB12 AC12 AA15 AA14 AD14 AD13 AH14 AH13 AC14 AC13 AJ16
    AK16 AD16 AD15 AH17 AH16 AF18 AF17 AB15 AB14 AE18 AE17 AB27 AC27 AE27 AF27 AH26 AH27 AG26 AG27 AH28 AH29 AK27 AK28
    AJ26 AK26 AF30 AG30 AF29 AG29 AJ30 AK30 AJ28 AJ29 AD25 AE26 AE25 AF25 AB29 AB30 AC29 AD29 Y26  Y27  Y30  AA30
"""
IO_STANDARD = "LVCMOS25"
"""VADJ of the kit is 2.5 V as delivered; the board with the array translates to its chips' levels."""


class Site(NamedTuple):
    """A contact of an FMC connector and the FPGA pin behind it."""

    connector: str
    signal: str
    pin: str


def sites() -> list[Site]:
    """The LA contacts of both connectors, the HPC's first."""
    return [
        Site(connector, f"LA{i // 2:02}_{'PN'[i % 2]}", pin)
        for connector, pins in (("HPC", _HPC_J37), ("LPC", _LPC_J5))
        for i, pin in enumerate(pins.split())
    ]


class Port(NamedTuple):
    """A port of `xbar_top` that leaves the fabric, one bit of it."""

    name: str
    direction: str
    options: str


def chips() -> list[list[Port]]:
    """The ports of each chip, in the order in which a board that has fewer of them uses them."""
    # SCLK runs at 50 MHz over a connector; the rest is slow. What idles high is pulled so.
    fast, slow, high = "SLEW FAST DRIVE 8", "SLEW SLOW DRIVE 8", "SLEW SLOW DRIVE 8 PULLTYPE PULLUP"
    dacs = [
        [
            Port(f"dac_cs_n[{d}]", "out", high), Port(f"dac_sclk[{d}]", "out", fast),
            Port(f"dac_sdi[{d}]", "out", fast), Port(f"dac_sdo[{d}]", "in", "PULLTYPE PULLDOWN"),
        ]
        for d in range(N_DACS)
    ]  # fmt: skip
    chain = [Port(name, "out", slow) for name in ("sr_ser", "sr_srclk", "sr_rclk")]
    muxes = [Port(name, "out", high) for name in ("sr_oe_n", "bl_inh")]
    adcs = [
        [
            Port(f"adc_cs_n[{a}]", "out", high), Port(f"adc_dclock[{a}]", "out", slow),
            Port(f"adc_dout[{a}]", "in", "PULLTYPE PULLUP"),
        ]
        for a in range(N_ADCS)
    ]  # fmt: skip
    return [*dacs, chain + muxes, *adcs]


def plan() -> dict[Port, Site]:
    """Site by port: chip by chip along the connectors, and no chip on both. Raises `ValueError` if they do not fit."""
    hpc, lpc = ([site for site in sites() if site.connector == name] for name in ("HPC", "LPC"))
    found: dict[Port, Site] = {}
    for chip in chips():
        connector = hpc if len(hpc) >= len(chip) else lpc
        found |= zip(chip, connector[: len(chip)], strict=True)
        del connector[: len(chip)]
        if connector is lpc:
            hpc.clear()
    return found


def names(direction: str) -> list[str]:
    """Names of the ports of a direction, vectors as Vivado matches them."""
    found = (port.name.partition("[") for port in plan() if port.direction == direction)
    return list(dict.fromkeys(name + ("[*]" if bracket else "") for name, bracket, _ in found))


def xdc() -> str:
    """Vivado's constraints."""
    lines = [
        "# Printed by `python -m firmware_bridge.overlay.pins`; do not edit.",
        "#",
        "# The FPGA pins are transcribed from published constraints of the ZC706, not checked against UG954, and have",
        "# never been used with this gateware. Check them, and VADJ, before a board is connected.",
        "",
    ]
    for port, site in plan().items():
        lines.append(
            f"set_property -dict {{PACKAGE_PIN {site.pin} IOSTANDARD {IO_STANDARD} {port.options}}} "
            f"[get_ports {{{port.name}}}] ;# {site.connector} {site.signal}"
        )
    lines += [
        "",
        "# SDI stands half a period of SCLK, 10 ns, before and after the edge that captures it; the DACs need 5 and 10",
        "# (tSDIS, tSDIH of SLASEL1), and what they answer is captured at a known edge. So paths may differ by little:",
        f"set_max_delay -datapath_only -from [get_clocks clk_fpga_0] -to [get_ports {{{' '.join(names('out'))}}}] 8.0",
        f"set_max_delay -datapath_only -from [get_ports {{{' '.join(names('in'))}}}] -to [get_clocks clk_fpga_0] 8.0",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(xdc(), end="")
