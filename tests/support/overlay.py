"""A hardware hand-off (.hwh) as Vivado writes one, of the block design's parts that pynq looks at: the processing
system, its clocks, and what hangs on its general-purpose port."""

from __future__ import annotations

from pathlib import Path

from firmware_bridge.zc706_bridge import VLNV


def bus(name: str, kind: str) -> str:
    return (
        f'<BUSINTERFACES><BUSINTERFACE BUSNAME="gp0" DATAWIDTH="32" NAME="{name}" TYPE="{kind}" '
        'VLNV="xilinx.com:interface:aximm:1.0"><PARAMETERS/><PORTMAPS/></BUSINTERFACE></BUSINTERFACES>'
    )


def write_overlay(folder: Path, base: int, cores: dict[str, str] | None = None) -> Path:
    """Write xbar.hwh and an xbar.bit that nobody reads; returns the latter. `cores`: VLNV by instance."""
    cores = {"xbar_0": VLNV} if cores is None else cores
    clocks = {
        f"PCW_{name}": value
        for i in range(4)
        for name, value in (
            (f"FPGA_FCLK{i}_ENABLE", int(i == 0)), (f"FCLK{i}_PERIPHERAL_DIVISOR0", 5),
            (f"FCLK{i}_PERIPHERAL_DIVISOR1", 2), (f"FCLK{i}_PERIPHERAL_CLKSRC", "IO PLL"),
        )
    }  # fmt: skip
    parameters = "".join(f'<PARAMETER NAME="{name}" VALUE="{value}"/>' for name, value in clocks.items())
    ranges = "".join(
        f'<MEMRANGE ADDRESSBLOCK="reg0" BASEVALUE="{base + (i << 16):#x}" HIGHVALUE="{base + (i << 16) + 0xFFFF:#x}" '
        f'INSTANCE="{name}" MASTERBUSINTERFACE="M_AXI_GP0" MEMTYPE="REGISTER" SLAVEBUSINTERFACE="s_axi"/>'
        for i, name in enumerate(cores)
    )
    modules = "".join(
        f'<MODULE FULLNAME="/{name}" HWVERSION="1.0" INSTANCE="{name}" MODTYPE="{vlnv.split(":")[2]}" VLNV="{vlnv}">'
        f"<PARAMETERS/><PORTS/>{bus('s_axi', 'SLAVE')}</MODULE>"
        for name, vlnv in cores.items()
    )
    (folder / "xbar.hwh").write_text(
        '<?xml version="1.0" encoding="UTF-8"?>\n<EDKSYSTEM EDWVERSION="1.2" VIVADOVERSION="2022.1">'
        '<SYSTEMINFO ARCH="zynq" DEVICE="7z045" NAME="xbar" PACKAGE="ffg900" SPEEDGRADE="-2"/>'
        '<EXTERNALPORTS/><EXTERNALINTERFACES/><MODULES><MODULE FULLNAME="/ps" HWVERSION="5.5" INSTANCE="ps" '
        'MODTYPE="processing_system7" VLNV="xilinx.com:ip:processing_system7:5.5">'
        f"<PARAMETERS>{parameters}</PARAMETERS><PORTS/>{bus('M_AXI_GP0', 'MASTER')}<MEMORYMAP>{ranges}</MEMORYMAP>"
        f"</MODULE>{modules}</MODULES></EDKSYSTEM>\n"
    )
    bitstream = folder / "xbar.bit"
    bitstream.write_bytes(b"")
    return bitstream
