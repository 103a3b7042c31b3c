# Printed by `python -m firmware_bridge.overlay.pins`; do not edit.
#
# The FPGA pins are transcribed from published constraints of the ZC706, not checked against UG954, and have
# never been used with this gateware. Check them, and VADJ, before a board is connected.

set_property -dict {PACKAGE_PIN AF20 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8 PULLTYPE PULLUP} [get_ports {dac_cs_n[0]}] ;# HPC LA00_P
set_property -dict {PACKAGE_PIN AG20 IOSTANDARD LVCMOS25 SLEW FAST DRIVE 8} [get_ports {dac_sclk[0]}] ;# HPC LA00_N
set_property -dict {PACKAGE_PIN AG21 IOSTANDARD LVCMOS25 SLEW FAST DRIVE 8} [get_ports {dac_sdi[0]}] ;# HPC LA01_P
set_property -dict {PACKAGE_PIN AH21 IOSTANDARD LVCMOS25 PULLTYPE PULLDOWN} [get_ports {dac_sdo[0]}] ;# HPC LA01_N
set_property -dict {PACKAGE_PIN AK17 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8 PULLTYPE PULLUP} [get_ports {dac_cs_n[1]}] ;# HPC LA02_P
set_property -dict {PACKAGE_PIN AK18 IOSTANDARD LVCMOS25 SLEW FAST DRIVE 8} [get_ports {dac_sclk[1]}] ;# HPC LA02_N
set_property -dict {PACKAGE_PIN AH19 IOSTANDARD LVCMOS25 SLEW FAST DRIVE 8} [get_ports {dac_sdi[1]}] ;# HPC LA03_P
set_property -dict {PACKAGE_PIN AJ19 IOSTANDARD LVCMOS25 PULLTYPE PULLDOWN} [get_ports {dac_sdo[1]}] ;# HPC LA03_N
set_property -dict {PACKAGE_PIN AJ20 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8 PULLTYPE PULLUP} [get_ports {dac_cs_n[2]}] ;# HPC LA04_P
set_property -dict {PACKAGE_PIN AK20 IOSTANDARD LVCMOS25 SLEW FAST DRIVE 8} [get_ports {dac_sclk[2]}] ;# HPC LA04_N
set_property -dict {PACKAGE_PIN AH23 IOSTANDARD LVCMOS25 SLEW FAST DRIVE 8} [get_ports {dac_sdi[2]}] ;# HPC LA05_P
set_property -dict {PACKAGE_PIN AH24 IOSTANDARD LVCMOS25 PULLTYPE PULLDOWN} [get_ports {dac_sdo[2]}] ;# HPC LA05_N
set_property -dict {PACKAGE_PIN AG22 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8 PULLTYPE PULLUP} [get_ports {dac_cs_n[3]}] ;# HPC LA06_P
set_property -dict {PACKAGE_PIN AH22 IOSTANDARD LVCMOS25 SLEW FAST DRIVE 8} [get_ports {dac_sclk[3]}] ;# HPC LA06_N
set_property -dict {PACKAGE_PIN AJ23 IOSTANDARD LVCMOS25 SLEW FAST DRIVE 8} [get_ports {dac_sdi[3]}] ;# HPC LA07_P
set_property -dict {PACKAGE_PIN AJ24 IOSTANDARD LVCMOS25 PULLTYPE PULLDOWN} [get_ports {dac_sdo[3]}] ;# HPC LA07_N
set_property -dict {PACKAGE_PIN AF19 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8 PULLTYPE PULLUP} [get_ports {dac_cs_n[4]}] ;# HPC LA08_P
set_property -dict {PACKAGE_PIN AG19 IOSTANDARD LVCMOS25 SLEW FAST DRIVE 8} [get_ports {dac_sclk[4]}] ;# HPC LA08_N
set_property -dict {PACKAGE_PIN AD21 IOSTANDARD LVCMOS25 SLEW FAST DRIVE 8} [get_ports {dac_sdi[4]}] ;# HPC LA09_P
set_property -dict {PACKAGE_PIN AE21 IOSTANDARD LVCMOS25 PULLTYPE PULLDOWN} [get_ports {dac_sdo[4]}] ;# HPC LA09_N
set_property -dict {PACKAGE_PIN AG24 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8 PULLTYPE PULLUP} [get_ports {dac_cs_n[5]}] ;# HPC LA10_P
set_property -dict {PACKAGE_PIN AG25 IOSTANDARD LVCMOS25 SLEW FAST DRIVE 8} [get_ports {dac_sclk[5]}] ;# HPC LA10_N
set_property -dict {PACKAGE_PIN AD23 IOSTANDARD LVCMOS25 SLEW FAST DRIVE 8} [get_ports {dac_sdi[5]}] ;# HPC LA11_P
set_property -dict {PACKAGE_PIN AE23 IOSTANDARD LVCMOS25 PULLTYPE PULLDOWN} [get_ports {dac_sdo[5]}] ;# HPC LA11_N
set_property -dict {PACKAGE_PIN AF23 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8 PULLTYPE PULLUP} [get_ports {dac_cs_n[6]}] ;# HPC LA12_P
set_property -dict {PACKAGE_PIN AF24 IOSTANDARD LVCMOS25 SLEW FAST DRIVE 8} [get_ports {dac_sclk[6]}] ;# HPC LA12_N
set_property -dict {PACKAGE_PIN AA22 IOSTANDARD LVCMOS25 SLEW FAST DRIVE 8} [get_ports {dac_sdi[6]}] ;# HPC LA13_P
set_property -dict {PACKAGE_PIN AA23 IOSTANDARD LVCMOS25 PULLTYPE PULLDOWN} [get_ports {dac_sdo[6]}] ;# HPC LA13_N
set_property -dict {PACKAGE_PIN AC24 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8 PULLTYPE PULLUP} [get_ports {dac_cs_n[7]}] ;# HPC LA14_P
set_property -dict {PACKAGE_PIN AD24 IOSTANDARD LVCMOS25 SLEW FAST DRIVE 8} [get_ports {dac_sclk[7]}] ;# HPC LA14_N
set_property -dict {PACKAGE_PIN Y22 IOSTANDARD LVCMOS25 SLEW FAST DRIVE 8} [get_ports {dac_sdi[7]}] ;# HPC LA15_P
set_property -dict {PACKAGE_PIN Y23 IOSTANDARD LVCMOS25 PULLTYPE PULLDOWN} [get_ports {dac_sdo[7]}] ;# HPC LA15_N
set_property -dict {PACKAGE_PIN AA24 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8} [get_ports {sr_ser}] ;# HPC LA16_P
set_property -dict {PACKAGE_PIN AB24 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8} [get_ports {sr_srclk}] ;# HPC LA16_N
set_property -dict {PACKAGE_PIN V23 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8} [get_ports {sr_rclk}] ;# HPC LA17_P
set_property -dict {PACKAGE_PIN W24 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8 PULLTYPE PULLUP} [get_ports {sr_oe_n}] ;# HPC LA17_N
set_property -dict {PACKAGE_PIN W25 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8 PULLTYPE PULLUP} [get_ports {bl_inh}] ;# HPC LA18_P
set_property -dict {PACKAGE_PIN W26 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8 PULLTYPE PULLUP} [get_ports {adc_cs_n[0]}] ;# HPC LA18_N
set_property -dict {PACKAGE_PIN T24 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8} [get_ports {adc_dclock[0]}] ;# HPC LA19_P
set_property -dict {PACKAGE_PIN T25 IOSTANDARD LVCMOS25 PULLTYPE PULLUP} [get_ports {adc_dout[0]}] ;# HPC LA19_N
set_property -dict {PACKAGE_PIN U25 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8 PULLTYPE PULLUP} [get_ports {adc_cs_n[1]}] ;# HPC LA20_P
set_property -dict {PACKAGE_PIN V26 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8} [get_ports {adc_dclock[1]}] ;# HPC LA20_N
set_property -dict {PACKAGE_PIN W29 IOSTANDARD LVCMOS25 PULLTYPE PULLUP} [get_ports {adc_dout[1]}] ;# HPC LA21_P
set_property -dict {PACKAGE_PIN W30 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8 PULLTYPE PULLUP} [get_ports {adc_cs_n[2]}] ;# HPC LA21_N
set_property -dict {PACKAGE_PIN V27 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8} [get_ports {adc_dclock[2]}] ;# HPC LA22_P
set_property -dict {PACKAGE_PIN W28 IOSTANDARD LVCMOS25 PULLTYPE PULLUP} [get_ports {adc_dout[2]}] ;# HPC LA22_N
set_property -dict {PACKAGE_PIN P25 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8 PULLTYPE PULLUP} [get_ports {adc_cs_n[3]}] ;# HPC LA23_P
set_property -dict {PACKAGE_PIN P26 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8} [get_ports {adc_dclock[3]}] ;# HPC LA23_N
set_property -dict {PACKAGE_PIN T30 IOSTANDARD LVCMOS25 PULLTYPE PULLUP} [get_ports {adc_dout[3]}] ;# HPC LA24_P
set_property -dict {PACKAGE_PIN U30 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8 PULLTYPE PULLUP} [get_ports {adc_cs_n[4]}] ;# HPC LA24_N
set_property -dict {PACKAGE_PIN T29 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8} [get_ports {adc_dclock[4]}] ;# HPC LA25_P
set_property -dict {PACKAGE_PIN U29 IOSTANDARD LVCMOS25 PULLTYPE PULLUP} [get_ports {adc_dout[4]}] ;# HPC LA25_N
set_property -dict {PACKAGE_PIN R28 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8 PULLTYPE PULLUP} [get_ports {adc_cs_n[5]}] ;# HPC LA26_P
set_property -dict {PACKAGE_PIN T28 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8} [get_ports {adc_dclock[5]}] ;# HPC LA26_N
set_property -dict {PACKAGE_PIN V28 IOSTANDARD LVCMOS25 PULLTYPE PULLUP} [get_ports {adc_dout[5]}] ;# HPC LA27_P
set_property -dict {PACKAGE_PIN V29 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8 PULLTYPE PULLUP} [get_ports {adc_cs_n[6]}] ;# HPC LA27_N
set_property -dict {PACKAGE_PIN P30 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8} [get_ports {adc_dclock[6]}] ;# HPC LA28_P
set_property -dict {PACKAGE_PIN R30 IOSTANDARD LVCMOS25 PULLTYPE PULLUP} [get_ports {adc_dout[6]}] ;# HPC LA28_N
set_property -dict {PACKAGE_PIN R25 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8 PULLTYPE PULLUP} [get_ports {adc_cs_n[7]}] ;# HPC LA29_P
set_property -dict {PACKAGE_PIN R26 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8} [get_ports {adc_dclock[7]}] ;# HPC LA29_N
set_property -dict {PACKAGE_PIN P23 IOSTANDARD LVCMOS25 PULLTYPE PULLUP} [get_ports {adc_dout[7]}] ;# HPC LA30_P
set_property -dict {PACKAGE_PIN P24 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8 PULLTYPE PULLUP} [get_ports {adc_cs_n[8]}] ;# HPC LA30_N
set_property -dict {PACKAGE_PIN N29 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8} [get_ports {adc_dclock[8]}] ;# HPC LA31_P
set_property -dict {PACKAGE_PIN P29 IOSTANDARD LVCMOS25 PULLTYPE PULLUP} [get_ports {adc_dout[8]}] ;# HPC LA31_N
set_property -dict {PACKAGE_PIN P21 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8 PULLTYPE PULLUP} [get_ports {adc_cs_n[9]}] ;# HPC LA32_P
set_property -dict {PACKAGE_PIN R21 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8} [get_ports {adc_dclock[9]}] ;# HPC LA32_N
set_property -dict {PACKAGE_PIN N26 IOSTANDARD LVCMOS25 PULLTYPE PULLUP} [get_ports {adc_dout[9]}] ;# HPC LA33_P
set_property -dict {PACKAGE_PIN AE13 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8 PULLTYPE PULLUP} [get_ports {adc_cs_n[10]}] ;# LPC LA00_P
set_property -dict {PACKAGE_PIN AF13 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8} [get_ports {adc_dclock[10]}] ;# LPC LA00_N
set_property -dict {PACKAGE_PIN AF15 IOSTANDARD LVCMOS25 PULLTYPE PULLUP} [get_ports {adc_dout[10]}] ;# LPC LA01_P
set_property -dict {PACKAGE_PIN AG15 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8 PULLTYPE PULLUP} [get_ports {adc_cs_n[11]}] ;# LPC LA01_N
set_property -dict {PACKAGE_PIN AE12 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8} [get_ports {adc_dclock[11]}] ;# LPC LA02_P
set_property -dict {PACKAGE_PIN AF12 IOSTANDARD LVCMOS25 PULLTYPE PULLUP} [get_ports {adc_dout[11]}] ;# LPC LA02_N
set_property -dict {PACKAGE_PIN AG12 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8 PULLTYPE PULLUP} [get_ports {adc_cs_n[12]}] ;# LPC LA03_P
set_property -dict {PACKAGE_PIN AH12 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8} [get_ports {adc_dclock[12]}] ;# LPC LA03_N
set_property -dict {PACKAGE_PIN AJ15 IOSTANDARD LVCMOS25 PULLTYPE PULLUP} [get_ports {adc_dout[12]}] ;# LPC LA04_P
set_property -dict {PACKAGE_PIN AK15 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8 PULLTYPE PULLUP} [get_ports {adc_cs_n[13]}] ;# LPC LA04_N
set_property -dict {PACKAGE_PIN AE16 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8} [get_ports {adc_dclock[13]}] ;# LPC LA05_P
set_property -dict {PACKAGE_PIN AE15 IOSTANDARD LVCMOS25 PULLTYPE PULLUP} [get_ports {adc_dout[13]}] ;# LPC LA05_N
set_property -dict {PACKAGE_PIN AB12 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8 PULLTYPE PULLUP} [get_ports {adc_cs_n[14]}] ;# LPC LA06_P
set_property -dict {PACKAGE_PIN AC12 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8} [get_ports {adc_dclock[14]}] ;# LPC LA06_N
set_property -dict {PACKAGE_PIN AA15 IOSTANDARD LVCMOS25 PULLTYPE PULLUP} [get_ports {adc_dout[14]}] ;# LPC LA07_P
set_property -dict {PACKAGE_PIN AA14 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8 PULLTYPE PULLUP} [get_ports {adc_cs_n[15]}] ;# LPC LA07_N
set_property -dict {PACKAGE_PIN AD14 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8} [get_ports {adc_dclock[15]}] ;# LPC LA08_P
set_property -dict {PACKAGE_PIN AD13 IOSTANDARD LVCMOS25 PULLTYPE PULLUP} [get_ports {adc_dout[15]}] ;# LPC LA08_N
set_property -dict {PACKAGE_PIN AH14 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8 PULLTYPE PULLUP} [get_ports {adc_cs_n[16]}] ;# LPC LA09_P
set_property -dict {PACKAGE_PIN AH13 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8} [get_ports {adc_dclock[16]}] ;# LPC LA09_N
set_property -dict {PACKAGE_PIN AC14 IOSTANDARD LVCMOS25 PULLTYPE PULLUP} [get_ports {adc_dout[16]}] ;# LPC LA10_P
set_property -dict {PACKAGE_PIN AC13 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8 PULLTYPE PULLUP} [get_ports {adc_cs_n[17]}] ;# LPC LA10_N
set_property -dict {PACKAGE_PIN AJ16 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8} [get_ports {adc_dclock[17]}] ;# LPC LA11_P
set_property -dict {PACKAGE_PIN AK16 IOSTANDARD LVCMOS25 PULLTYPE PULLUP} [get_ports {adc_dout[17]}] ;# LPC LA11_N
set_property -dict {PACKAGE_PIN AD16 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8 PULLTYPE PULLUP} [get_ports {adc_cs_n[18]}] ;# LPC LA12_P
set_property -dict {PACKAGE_PIN AD15 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8} [get_ports {adc_dclock[18]}] ;# LPC LA12_N
set_property -dict {PACKAGE_PIN AH17 IOSTANDARD LVCMOS25 PULLTYPE PULLUP} [get_ports {adc_dout[18]}] ;# LPC LA13_P
set_property -dict {PACKAGE_PIN AH16 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8 PULLTYPE PULLUP} [get_ports {adc_cs_n[19]}] ;# LPC LA13_N
set_property -dict {PACKAGE_PIN AF18 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8} [get_ports {adc_dclock[19]}] ;# LPC LA14_P
set_property -dict {PACKAGE_PIN AF17 IOSTANDARD LVCMOS25 PULLTYPE PULLUP} [get_ports {adc_dout[19]}] ;# LPC LA14_N
set_property -dict {PACKAGE_PIN AB15 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8 PULLTYPE PULLUP} [get_ports {adc_cs_n[20]}] ;# LPC LA15_P
set_property -dict {PACKAGE_PIN AB14 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8} [get_ports {adc_dclock[20]}] ;# LPC LA15_N
set_property -dict {PACKAGE_PIN AE18 IOSTANDARD LVCMOS25 PULLTYPE PULLUP} [get_ports {adc_dout[20]}] ;# LPC LA16_P
set_property -dict {PACKAGE_PIN AE17 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8 PULLTYPE PULLUP} [get_ports {adc_cs_n[21]}] ;# LPC LA16_N
set_property -dict {PACKAGE_PIN AB27 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8} [get_ports {adc_dclock[21]}] ;# LPC LA17_P
set_property -dict {PACKAGE_PIN AC27 IOSTANDARD LVCMOS25 PULLTYPE PULLUP} [get_ports {adc_dout[21]}] ;# LPC LA17_N
set_property -dict {PACKAGE_PIN AE27 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8 PULLTYPE PULLUP} [get_ports {adc_cs_n[22]}] ;# LPC LA18_P
set_property -dict {PACKAGE_PIN AF27 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8} [get_ports {adc_dclock[22]}] ;# LPC LA18_N
set_property -dict {PACKAGE_PIN AH26 IOSTANDARD LVCMOS25 PULLTYPE PULLUP} [get_ports {adc_dout[22]}] ;# LPC LA19_P
set_property -dict {PACKAGE_PIN AH27 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8 PULLTYPE PULLUP} [get_ports {adc_cs_n[23]}] ;# LPC LA19_N
set_property -dict {PACKAGE_PIN AG26 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8} [get_ports {adc_dclock[23]}] ;# LPC LA20_P
set_property -dict {PACKAGE_PIN AG27 IOSTANDARD LVCMOS25 PULLTYPE PULLUP} [get_ports {adc_dout[23]}] ;# LPC LA20_N
set_property -dict {PACKAGE_PIN AH28 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8 PULLTYPE PULLUP} [get_ports {adc_cs_n[24]}] ;# LPC LA21_P
set_property -dict {PACKAGE_PIN AH29 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8} [get_ports {adc_dclock[24]}] ;# LPC LA21_N
set_property -dict {PACKAGE_PIN AK27 IOSTANDARD LVCMOS25 PULLTYPE PULLUP} [get_ports {adc_dout[24]}] ;# LPC LA22_P
set_property -dict {PACKAGE_PIN AK28 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8 PULLTYPE PULLUP} [get_ports {adc_cs_n[25]}] ;# LPC LA22_N
set_property -dict {PACKAGE_PIN AJ26 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8} [get_ports {adc_dclock[25]}] ;# LPC LA23_P
set_property -dict {PACKAGE_PIN AK26 IOSTANDARD LVCMOS25 PULLTYPE PULLUP} [get_ports {adc_dout[25]}] ;# LPC LA23_N
set_property -dict {PACKAGE_PIN AF30 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8 PULLTYPE PULLUP} [get_ports {adc_cs_n[26]}] ;# LPC LA24_P
set_property -dict {PACKAGE_PIN AG30 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8} [get_ports {adc_dclock[26]}] ;# LPC LA24_N
set_property -dict {PACKAGE_PIN AF29 IOSTANDARD LVCMOS25 PULLTYPE PULLUP} [get_ports {adc_dout[26]}] ;# LPC LA25_P
set_property -dict {PACKAGE_PIN AG29 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8 PULLTYPE PULLUP} [get_ports {adc_cs_n[27]}] ;# LPC LA25_N
set_property -dict {PACKAGE_PIN AJ30 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8} [get_ports {adc_dclock[27]}] ;# LPC LA26_P
set_property -dict {PACKAGE_PIN AK30 IOSTANDARD LVCMOS25 PULLTYPE PULLUP} [get_ports {adc_dout[27]}] ;# LPC LA26_N
set_property -dict {PACKAGE_PIN AJ28 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8 PULLTYPE PULLUP} [get_ports {adc_cs_n[28]}] ;# LPC LA27_P
set_property -dict {PACKAGE_PIN AJ29 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8} [get_ports {adc_dclock[28]}] ;# LPC LA27_N
set_property -dict {PACKAGE_PIN AD25 IOSTANDARD LVCMOS25 PULLTYPE PULLUP} [get_ports {adc_dout[28]}] ;# LPC LA28_P
set_property -dict {PACKAGE_PIN AE26 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8 PULLTYPE PULLUP} [get_ports {adc_cs_n[29]}] ;# LPC LA28_N
set_property -dict {PACKAGE_PIN AE25 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8} [get_ports {adc_dclock[29]}] ;# LPC LA29_P
set_property -dict {PACKAGE_PIN AF25 IOSTANDARD LVCMOS25 PULLTYPE PULLUP} [get_ports {adc_dout[29]}] ;# LPC LA29_N
set_property -dict {PACKAGE_PIN AB29 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8 PULLTYPE PULLUP} [get_ports {adc_cs_n[30]}] ;# LPC LA30_P
set_property -dict {PACKAGE_PIN AB30 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8} [get_ports {adc_dclock[30]}] ;# LPC LA30_N
set_property -dict {PACKAGE_PIN AC29 IOSTANDARD LVCMOS25 PULLTYPE PULLUP} [get_ports {adc_dout[30]}] ;# LPC LA31_P
set_property -dict {PACKAGE_PIN AD29 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8 PULLTYPE PULLUP} [get_ports {adc_cs_n[31]}] ;# LPC LA31_N
set_property -dict {PACKAGE_PIN Y26 IOSTANDARD LVCMOS25 SLEW SLOW DRIVE 8} [get_ports {adc_dclock[31]}] ;# LPC LA32_P
set_property -dict {PACKAGE_PIN Y27 IOSTANDARD LVCMOS25 PULLTYPE PULLUP} [get_ports {adc_dout[31]}] ;# LPC LA32_N

# SDI stands half a period of SCLK, 10 ns, before and after the edge that captures it; the DACs need 5 and 10
# (tSDIS, tSDIH of SLASEL1), and what they answer is captured at a known edge. So paths may differ by little:
set_max_delay -datapath_only -from [get_clocks clk_fpga_0] -to [get_ports {dac_cs_n[*] dac_sclk[*] dac_sdi[*] sr_ser sr_srclk sr_rclk sr_oe_n bl_inh adc_cs_n[*] adc_dclock[*]}] 8.0
set_max_delay -datapath_only -from [get_ports {dac_sdo[*] adc_dout[*]}] -to [get_clocks clk_fpga_0] 8.0
