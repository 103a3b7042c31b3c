# Builds xbar.bit and xbar.hwh for the ZC706:
#
#   vivado -mode batch -source firmware_bridge/overlay/build.tcl
#
# Written for Vivado 2022.1, the release of PYNQ 3.0.1. It has never been run: see README.md beside it.

set here [file dirname [file normalize [info script]]]
set rtl [file join $here .. rtl]
set build [file join $here build]
set clock_mhz 100

create_project -force xbar $build -part xc7z045ffg900-2
# Board files carry the presets of the processing system: DDR3, MIO.
set boards [get_board_parts -quiet -latest_file_version "*:zc706:*"]
if {[llength $boards] == 0} { error "Vivado has no board files of the ZC706: install them, or set the PS by hand" }
set_property board_part [lindex $boards 0] [current_project]

add_files [glob -directory $rtl *.sv *.v]
add_files -fileset constrs_1 [file join $here xbar.xdc]
update_compile_order -fileset sources_1

# -- block design ----------------------------------------------------------------------------------------------------
create_bd_design xbar

set ps [create_bd_cell -type ip -vlnv xilinx.com:ip:processing_system7 ps]
apply_bd_automation -rule xilinx.com:bd_rule:processing_system7 \
    -config {make_external "FIXED_IO, DDR" apply_board_preset "1"} $ps
set_property -dict [list \
    CONFIG.PCW_USE_M_AXI_GP0 1 \
    CONFIG.PCW_USE_S_AXI_HP0 1 \
    CONFIG.PCW_S_AXI_HP0_DATA_WIDTH 32 \
    CONFIG.PCW_FPGA0_PERIPHERAL_FREQMHZ $clock_mhz \
    CONFIG.PCW_USE_FABRIC_INTERRUPT 1 \
    CONFIG.PCW_IRQ_F2P_INTR 1 \
] $ps

# Pulses are counted in this clock: what it really is must be what the board file says.
set actual_mhz [get_property CONFIG.PCW_ACT_FPGA0_PERIPHERAL_FREQMHZ $ps]
if {abs($actual_mhz - $clock_mhz) > 1e-4} { error "the fabric would run at $actual_mhz MHz, not $clock_mhz" }

set core [create_bd_cell -type module -reference xbar_top xbar_0]
set reset [create_bd_cell -type ip -vlnv xilinx.com:ip:proc_sys_reset reset]
set control [create_bd_cell -type ip -vlnv xilinx.com:ip:axi_interconnect control]
set_property CONFIG.NUM_MI 1 $control
set memory [create_bd_cell -type ip -vlnv xilinx.com:ip:axi_interconnect memory]
set_property -dict [list CONFIG.NUM_SI 1 CONFIG.NUM_MI 1] $memory
set frequency [create_bd_cell -type ip -vlnv xilinx.com:ip:xlconstant frequency]
set_property -dict [list CONFIG.CONST_WIDTH 32 CONFIG.CONST_VAL [expr {$clock_mhz * 1000000}]] $frequency

connect_bd_net [get_bd_pins ps/FCLK_CLK0] \
    [get_bd_pins ps/M_AXI_GP0_ACLK] [get_bd_pins ps/S_AXI_HP0_ACLK] [get_bd_pins reset/slowest_sync_clk] \
    [get_bd_pins control/ACLK] [get_bd_pins control/S00_ACLK] [get_bd_pins control/M00_ACLK] \
    [get_bd_pins memory/ACLK] [get_bd_pins memory/S00_ACLK] [get_bd_pins memory/M00_ACLK] \
    [get_bd_pins xbar_0/aclk]
connect_bd_net [get_bd_pins ps/FCLK_RESET0_N] [get_bd_pins reset/ext_reset_in]
connect_bd_net [get_bd_pins reset/interconnect_aresetn] [get_bd_pins control/ARESETN] [get_bd_pins memory/ARESETN]
connect_bd_net [get_bd_pins reset/peripheral_aresetn] \
    [get_bd_pins control/S00_ARESETN] [get_bd_pins control/M00_ARESETN] \
    [get_bd_pins memory/S00_ARESETN] [get_bd_pins memory/M00_ARESETN] \
    [get_bd_pins xbar_0/aresetn]
connect_bd_net [get_bd_pins frequency/dout] [get_bd_pins xbar_0/clock_hz]
connect_bd_net [get_bd_pins xbar_0/irq] [get_bd_pins ps/IRQ_F2P]

connect_bd_intf_net [get_bd_intf_pins ps/M_AXI_GP0] [get_bd_intf_pins control/S00_AXI]
connect_bd_intf_net [get_bd_intf_pins control/M00_AXI] [get_bd_intf_pins xbar_0/s_axi]
connect_bd_intf_net [get_bd_intf_pins xbar_0/m_axi] [get_bd_intf_pins memory/S00_AXI]
connect_bd_intf_net [get_bd_intf_pins memory/M00_AXI] [get_bd_intf_pins ps/S_AXI_HP0]

# Name, direction, width of what leaves the fabric.
foreach {name direction width} {
    dac_cs_n O 8  dac_sclk O 8  dac_sdi O 8  dac_sdo I 8
    sr_ser O 1  sr_srclk O 1  sr_rclk O 1  sr_oe_n O 1  bl_inh O 1
    adc_cs_n O 32  adc_dclock O 32  adc_dout I 32
} {
    if {$width == 1} {
        create_bd_port -dir $direction $name
    } else {
        create_bd_port -dir $direction -from [expr {$width - 1}] -to 0 $name
    }
    connect_bd_net [get_bd_ports $name] [get_bd_pins xbar_0/$name]
}

assign_bd_address -offset 0x43C00000 -range 64K [get_bd_addr_segs xbar_0/s_axi/reg0]
assign_bd_address
validate_bd_design
save_bd_design

# -- bitstream -------------------------------------------------------------------------------------------------------
set design [get_files xbar.bd]
add_files -norecurse [make_wrapper -files $design -top]
set_property top xbar_wrapper [current_fileset]
launch_runs impl_1 -to_step write_bitstream -jobs 4
wait_on_run impl_1
if {[get_property PROGRESS [get_runs impl_1]] ne "100%"} { error "the implementation failed: see $build" }
set slack [get_property STATS.WNS [get_runs impl_1]]
if {$slack < 0} { error "timing is not met: worst slack $slack ns" }
puts "worst slack $slack ns"

file copy -force [file join $build xbar.runs impl_1 xbar_wrapper.bit] [file join $here xbar.bit]
file copy -force [file join $build xbar.gen sources_1 bd xbar hw_handoff xbar.hwh] [file join $here xbar.hwh]
puts "built [file join $here xbar.bit]"
