// The gateware as the block design of `overlay/` places it: plain Verilog, since Vivado takes nothing else there. The
// master speaks AXI4 with bursts that AXI3 has as well; the interconnect in front of the Zynq's port translates.
//
// Pins that must be held when the fabric is not configured have their idle level on the outside too: SN74HC595 OE̅ and
// the INH of the bit-line muxes are high.
module xbar_top (
    (* X_INTERFACE_PARAMETER = "ASSOCIATED_BUSIF s_axi:m_axi, ASSOCIATED_RESET aresetn" *)
    input  wire        aclk,
    input  wire        aresetn,
    input  wire [31:0] clock_hz,
    output wire        irq,

    input  wire [11:0] s_axi_awaddr,
    input  wire [ 2:0] s_axi_awprot,
    input  wire        s_axi_awvalid,
    output wire        s_axi_awready,
    input  wire [31:0] s_axi_wdata,
    input  wire [ 3:0] s_axi_wstrb,
    input  wire        s_axi_wvalid,
    output wire        s_axi_wready,
    output wire [ 1:0] s_axi_bresp,
    output wire        s_axi_bvalid,
    input  wire        s_axi_bready,
    input  wire [11:0] s_axi_araddr,
    input  wire [ 2:0] s_axi_arprot,
    input  wire        s_axi_arvalid,
    output wire        s_axi_arready,
    output wire [31:0] s_axi_rdata,
    output wire [ 1:0] s_axi_rresp,
    output wire        s_axi_rvalid,
    input  wire        s_axi_rready,

    output wire [31:0] m_axi_araddr,
    output wire [ 7:0] m_axi_arlen,
    output wire [ 2:0] m_axi_arsize,
    output wire [ 1:0] m_axi_arburst,
    output wire [ 3:0] m_axi_arcache,
    output wire [ 2:0] m_axi_arprot,
    output wire        m_axi_arvalid,
    input  wire        m_axi_arready,
    input  wire [31:0] m_axi_rdata,
    input  wire [ 1:0] m_axi_rresp,
    input  wire        m_axi_rlast,
    input  wire        m_axi_rvalid,
    output wire        m_axi_rready,
    output wire [31:0] m_axi_awaddr,
    output wire [ 7:0] m_axi_awlen,
    output wire [ 2:0] m_axi_awsize,
    output wire [ 1:0] m_axi_awburst,
    output wire [ 3:0] m_axi_awcache,
    output wire [ 2:0] m_axi_awprot,
    output wire        m_axi_awvalid,
    input  wire        m_axi_awready,
    output wire [31:0] m_axi_wdata,
    output wire [ 3:0] m_axi_wstrb,
    output wire        m_axi_wlast,
    output wire        m_axi_wvalid,
    input  wire        m_axi_wready,
    input  wire [ 1:0] m_axi_bresp,
    input  wire        m_axi_bvalid,
    output wire        m_axi_bready,

    output wire [ 7:0] dac_cs_n,
    output wire [ 7:0] dac_sclk,
    output wire [ 7:0] dac_sdi,
    input  wire [ 7:0] dac_sdo,
    output wire        sr_ser,
    output wire        sr_srclk,
    output wire        sr_rclk,
    output wire        sr_oe_n,
    output wire        bl_inh,
    output wire [31:0] adc_cs_n,
    output wire [31:0] adc_dclock,
    input  wire [31:0] adc_dout
);
  wire gate;
  wire [3:0] arlen, awlen;
  // A burst's length is known from its address; protection and the end of a burst have no use here.
  wire unused = &{1'b0, s_axi_awprot, s_axi_arprot, m_axi_rlast};

  assign bl_inh = !gate;
  assign m_axi_arlen = {4'b0, arlen};
  assign m_axi_awlen = {4'b0, awlen};
  // Words of four bytes, incrementing, modifiable and bufferable, unprivileged data.
  assign m_axi_arsize = 3'd2;
  assign m_axi_awsize = 3'd2;
  assign m_axi_arburst = 2'b01;
  assign m_axi_awburst = 2'b01;
  assign m_axi_arcache = 4'b0011;
  assign m_axi_awcache = 4'b0011;
  assign m_axi_arprot = 3'b000;
  assign m_axi_awprot = 3'b000;
  assign m_axi_wstrb = 4'b1111;

  xbar_core core (
      .clk(aclk),
      .rst(!aresetn),
      .clock_hz(clock_hz),
      .irq(irq),
      .s_axi_awaddr(s_axi_awaddr),
      .s_axi_awvalid(s_axi_awvalid),
      .s_axi_awready(s_axi_awready),
      .s_axi_wdata(s_axi_wdata),
      .s_axi_wstrb(s_axi_wstrb),
      .s_axi_wvalid(s_axi_wvalid),
      .s_axi_wready(s_axi_wready),
      .s_axi_bresp(s_axi_bresp),
      .s_axi_bvalid(s_axi_bvalid),
      .s_axi_bready(s_axi_bready),
      .s_axi_araddr(s_axi_araddr),
      .s_axi_arvalid(s_axi_arvalid),
      .s_axi_arready(s_axi_arready),
      .s_axi_rdata(s_axi_rdata),
      .s_axi_rresp(s_axi_rresp),
      .s_axi_rvalid(s_axi_rvalid),
      .s_axi_rready(s_axi_rready),
      .m_axi_araddr(m_axi_araddr),
      .m_axi_arlen(arlen),
      .m_axi_arvalid(m_axi_arvalid),
      .m_axi_arready(m_axi_arready),
      .m_axi_rdata(m_axi_rdata),
      .m_axi_rresp(m_axi_rresp),
      .m_axi_rvalid(m_axi_rvalid),
      .m_axi_rready(m_axi_rready),
      .m_axi_awaddr(m_axi_awaddr),
      .m_axi_awlen(awlen),
      .m_axi_awvalid(m_axi_awvalid),
      .m_axi_awready(m_axi_awready),
      .m_axi_wdata(m_axi_wdata),
      .m_axi_wlast(m_axi_wlast),
      .m_axi_wvalid(m_axi_wvalid),
      .m_axi_wready(m_axi_wready),
      .m_axi_bresp(m_axi_bresp),
      .m_axi_bvalid(m_axi_bvalid),
      .m_axi_bready(m_axi_bready),
      .dac_cs_n(dac_cs_n),
      .dac_sclk(dac_sclk),
      .dac_sdi(dac_sdi),
      .dac_sdo(dac_sdo),
      .sr_ser(sr_ser),
      .sr_srclk(sr_srclk),
      .sr_rclk(sr_rclk),
      .sr_oe_n(sr_oe_n),
      .gate(gate),
      .adc_cs_n(adc_cs_n),
      .adc_dclock(adc_dclock),
      .adc_dout(adc_dout)
  );
endmodule
