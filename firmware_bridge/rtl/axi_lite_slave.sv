// The host's side of the registers: AXI4-Lite, one access at a time.
//
// Every access is answered OKAY: an error response would reach the host's processor as an abort, which hits whatever
// runs then. What no register answers to, a write to what can only be read, a byte address between words and a write of
// some of a register's bytes change nothing, read as zero, and are reported beside the bus.
module axi_lite_slave
  import xbar_pkg::*;
(
    input  logic        clk,
    input  logic        rst,
    // AXI4-Lite
    input  logic [11:0] awaddr,
    input  logic        awvalid,
    output logic        awready,
    input  logic [31:0] wdata,
    input  logic [ 3:0] wstrb,
    input  logic        wvalid,
    output logic        wready,
    output logic [ 1:0] bresp,
    output logic        bvalid,
    input  logic        bready,
    input  logic [11:0] araddr,
    input  logic        arvalid,
    output logic        arready,
    output logic [31:0] rdata,
    output logic [ 1:0] rresp,
    output logic        rvalid,
    input  logic        rready,
    // registers; what is read comes in the cycle after `read`
    output logic        we,
    output logic [ 7:0] write_address,
    output logic [31:0] write_word,
    output logic        read,
    output logic [ 7:0] read_address,
    input  logic [31:0] read_word,
    // reports
    output logic        access,         // the host has begun an access
    output logic        refused,
    output logic [12:0] refused_where   // bit 12: a write
);
  logic take_write, take_read, answering, write_known, read_known, known;

  assign take_write = awvalid && wvalid && !bvalid;
  assign take_read = arvalid && !read && !answering && !rvalid;
  assign awready = take_write;
  assign wready = take_write;
  assign arready = take_read;
  assign bresp = 2'b00;
  assign rresp = 2'b00;

  assign write_known = awaddr[1:0] == 0 && is_writable(awaddr[11:2]) && wstrb == '1;
  assign read_known = araddr[1:0] == 0 && is_register(araddr[11:2]);

  assign access = take_write || take_read;
  // A write of no bytes is nothing to complain about.
  assign refused = (take_write && !write_known && wstrb != 0) || (take_read && !read_known);
  assign refused_where = take_write ? {1'b1, awaddr} : {1'b0, araddr};

  always_ff @(posedge clk) begin
    if (take_write) bvalid <= 1'b1;
    else if (bready) bvalid <= 1'b0;
    // Nothing behind this hangs on the bus within a cycle.
    we <= take_write && write_known;
    if (take_write) begin
      write_address <= awaddr[9:2];
      write_word <= wdata;
    end
    read <= take_read;
    answering <= read;
    if (take_read) begin
      read_address <= araddr[9:2];
      known <= read_known;
    end
    if (answering) begin
      rdata  <= known ? read_word : 32'b0;
      rvalid <= 1'b1;
    end else if (rready) rvalid <= 1'b0;
    if (rst) begin
      bvalid   <= 1'b0;
      rvalid   <= 1'b0;
      we <= 1'b0;
      read <= 1'b0;
      answering <= 1'b0;
    end
  end
endmodule
