// The gateware: registers behind AXI4-Lite, memories and the master that fills and empties them, sequencer, watchdog.
module xbar_core
  import xbar_pkg::*;
(
    input  logic              clk,
    input  logic              rst,
    input  logic [      31:0] clock_hz,
    output logic              irq,
    // registers
    input  logic [      11:0] s_axi_awaddr,
    input  logic              s_axi_awvalid,
    output logic              s_axi_awready,
    input  logic [      31:0] s_axi_wdata,
    input  logic [       3:0] s_axi_wstrb,
    input  logic              s_axi_wvalid,
    output logic              s_axi_wready,
    output logic [       1:0] s_axi_bresp,
    output logic              s_axi_bvalid,
    input  logic              s_axi_bready,
    input  logic [      11:0] s_axi_araddr,
    input  logic              s_axi_arvalid,
    output logic              s_axi_arready,
    output logic [      31:0] s_axi_rdata,
    output logic [       1:0] s_axi_rresp,
    output logic              s_axi_rvalid,
    input  logic              s_axi_rready,
    // buffers
    output logic [      31:0] m_axi_araddr,
    output logic [       3:0] m_axi_arlen,
    output logic              m_axi_arvalid,
    input  logic              m_axi_arready,
    input  logic [      31:0] m_axi_rdata,
    input  logic [       1:0] m_axi_rresp,
    input  logic              m_axi_rvalid,
    output logic              m_axi_rready,
    output logic [      31:0] m_axi_awaddr,
    output logic [       3:0] m_axi_awlen,
    output logic              m_axi_awvalid,
    input  logic              m_axi_awready,
    output logic [      31:0] m_axi_wdata,
    output logic              m_axi_wlast,
    output logic              m_axi_wvalid,
    input  logic              m_axi_wready,
    input  logic [       1:0] m_axi_bresp,
    input  logic              m_axi_bvalid,
    output logic              m_axi_bready,
    // pins
    output logic [N_DACS-1:0] dac_cs_n,
    output logic [N_DACS-1:0] dac_sclk,
    output logic [N_DACS-1:0] dac_sdi,
    input  logic [N_DACS-1:0] dac_sdo,
    output logic              sr_ser,
    output logic              sr_srclk,
    output logic              sr_rclk,
    output logic              sr_oe_n,
    output logic              gate,
    output logic [N_ADCS-1:0] adc_cs_n,
    output logic [N_ADCS-1:0] adc_dclock,
    input  logic [N_ADCS-1:0] adc_dout
);
  localparam int ADDRESS_WIDTH = 15;

  // What chip models at the pins of a simulation look at.
  logic running  /* verilator public_flat_rd */;
  logic busy  /* verilator public_flat_rd */;
  logic [63:0] cycles  /* verilator public_flat_rw */;
  logic spi_capture  /* verilator public_flat_rd */;
  logic pulsing  /* verilator public_flat_rd */;

  // -- registers ------------------------------------------------------------------------------------------------------
  logic we, read, access, bad_access, start, store, safe, clear, latch, latched, locked;
  logic [7:0] write_address, read_address;
  logic [31:0] write_word, control_word, limit_register;
  logic [12:0] bad_where;
  logic [N_DACS-1:0] dac_present;
  logic [N_ADCS-1:0] adc_present;
  logic [31:0] safe_wait, patience, program_base, result_base;
  logic [15:0] program_length, result_size;
  logic [4:0] safe_count;
  logic [23:0] safe_frame[N_SAFE_FRAMES];
  logic [TIMING_WIDTH-1:0] timing[16];
  logic [7:0] fault;
  logic [15:0] fault_address, result_count;
  logic over, refused, bitten;

  axi_lite_slave slave (
      .clk,
      .rst,
      .awaddr(s_axi_awaddr),
      .awvalid(s_axi_awvalid),
      .awready(s_axi_awready),
      .wdata(s_axi_wdata),
      .wstrb(s_axi_wstrb),
      .wvalid(s_axi_wvalid),
      .wready(s_axi_wready),
      .bresp(s_axi_bresp),
      .bvalid(s_axi_bvalid),
      .bready(s_axi_bready),
      .araddr(s_axi_araddr),
      .arvalid(s_axi_arvalid),
      .arready(s_axi_arready),
      .rdata(s_axi_rdata),
      .rresp(s_axi_rresp),
      .rvalid(s_axi_rvalid),
      .rready(s_axi_rready),
      .we,
      .write_address,
      .write_word,
      .read,
      .read_address,
      .read_word(control_word | limit_register),
      .access,
      .refused(bad_access),
      .refused_where(bad_where)
  );

  control_registers registers (
      .clk,
      .rst,
      .we,
      .write_address,
      .write_word,
      .read,
      .read_address,
      .read_word(control_word),
      .start,
      .store,
      .safe,
      .clear,
      .latch,
      .dac_present,
      .adc_present,
      .safe_wait,
      .safe_count,
      .safe_frame,
      .timing,
      .patience,
      .program_address(program_base),
      .program_length,
      .result_address(result_base),
      .result_size,
      .clock_hz,
      .busy,
      .running,
      .latched,
      .fault,
      .fault_address,
      .result_count,
      .cycles,
      .over,
      .refused,
      .bitten,
      .bad_access,
      .bad_where,
      .locked,
      .irq
  );

  // -- programs -------------------------------------------------------------------------------------------------------
  logic moving, move_refused, run, make_safe, stop;
  logic [7:0] move_reason, safe_reason;
  logic program_we, push;
  logic [ADDRESS_WIDTH-1:0] program_index, result_index, program_address;
  logic [31:0] moved_word, program_word, push_word, result_word;

  assign busy = moving || running;
  assign stop = safe || clear || bitten;

  buffer_mover #(
      .ADDRESS_WIDTH(ADDRESS_WIDTH)
  ) mover (
      .clk,
      .rst,
      .start,
      .store,
      .stop,
      .allowed(latched && !locked),
      .program_address(program_base),
      .program_length,
      .result_address(result_base),
      .result_size,
      .busy(moving),
      .over,
      .refuse(move_refused),
      .reason(move_reason),
      .run,
      .running,
      .result_count,
      .program_we,
      .program_index,
      .program_word(moved_word),
      .result_index,
      .result_word,
      .araddr(m_axi_araddr),
      .arlen(m_axi_arlen),
      .arvalid(m_axi_arvalid),
      .arready(m_axi_arready),
      .rdata(m_axi_rdata),
      .rresp(m_axi_rresp),
      .rvalid(m_axi_rvalid),
      .rready(m_axi_rready),
      .awaddr(m_axi_awaddr),
      .awlen(m_axi_awlen),
      .awvalid(m_axi_awvalid),
      .awready(m_axi_awready),
      .wdata(m_axi_wdata),
      .wlast(m_axi_wlast),
      .wvalid(m_axi_wvalid),
      .wready(m_axi_wready),
      .bresp(m_axi_bresp),
      .bvalid(m_axi_bvalid),
      .bready(m_axi_bready)
  );

  word_memory #(
      .DEPTH(PROGRAM_WORDS),
      .ADDRESS_WIDTH(ADDRESS_WIDTH)
  ) program_memory (
      .clk,
      .we(program_we),
      .write_address(program_index),
      .write_word(moved_word),
      .read_address(program_address),
      .read_word(program_word)
  );

  word_memory #(
      .DEPTH(RESULT_WORDS),
      .ADDRESS_WIDTH(ADDRESS_WIDTH)
  ) result_memory (
      .clk,
      .we(push),
      .write_address(result_count[ADDRESS_WIDTH-1:0]),
      .write_word(push_word),
      .read_address(result_index),
      .read_word(result_word)
  );

  // -- making safe without being asked, and what is refused -----------------------------------------------------------
  watchdog dog (
      .clk,
      .rst,
      .patience,
      .heard(access),
      .started(run),
      .safe(make_safe),
      .bite(bitten)
  );

  always_comb begin
    safe_reason = FAULT_NONE;
    if (bitten) safe_reason = FAULT_WATCHDOG;
    else if (move_refused) safe_reason = move_reason;
    else if (moving) safe_reason = FAULT_STOPPED;
  end

  logic [N_DACS-1:0] limit_dac;
  logic [23:0] limit_word;
  logic [7:0] frame_fault, pulse_fault;
  logic chain_refused, pulse_go;

  limit_checker limits (
      .clk,
      .rst,
      .we,
      .address(write_address),
      .data(write_word),
      .read,
      .read_address,
      .read_word(limit_register),
      .latch,
      .latched,
      .dac(limit_dac),
      .frame(limit_word),
      .frame_fault,
      .sr_bits(limit_word[SHIFT_BITS_LSB+:SHIFT_BITS_WIDTH]),
      .chain_refused,
      .busy(running),
      .pulse_go,
      .width(limit_word[PULSE_WIDTH_LSB+:PULSE_WIDTH_WIDTH]),
      .pulse_fault
  );

  // -- sequencer ------------------------------------------------------------------------------------------------------
  always_ff @(posedge clk)
    if (rst) cycles <= '0;
    else if (running) cycles <= cycles + 1'b1;

  sequencer #(
      .ADDRESS_WIDTH(ADDRESS_WIDTH)
  ) sequencer (
      .clk,
      .rst(rst || clear),
      .start(run),
      .safe(safe || bitten || move_refused),
      .safe_reason,
      .result_size,
      .dac_present,
      .adc_present,
      .program_length,
      .safe_wait,
      .safe_count,
      .safe_frame,
      .spi_write_half(timing[REG_SPI_WRITE_HALF_CYCLES[3:0]]),
      .spi_read_half(timing[REG_SPI_READ_HALF_CYCLES[3:0]]),
      .spi_cs_setup(timing[REG_SPI_CS_SETUP_CYCLES[3:0]]),
      .spi_cs_hold(timing[REG_SPI_CS_HOLD_CYCLES[3:0]]),
      .spi_cs_high(timing[REG_SPI_CS_HIGH_CYCLES[3:0]]),
      .sr_half(timing[REG_SR_HALF_CYCLES[3:0]]),
      .sr_latch(timing[REG_SR_LATCH_CYCLES[3:0]]),
      .adc_half(timing[REG_ADC_HALF_CYCLES[3:0]]),
      .adc_window_clocks(timing[REG_ADC_WINDOW_CLOCKS[3:0]]),
      .adc_low_clocks(timing[REG_ADC_LOW_CLOCKS[3:0]]),
      .adc_clocks(timing[REG_ADC_CLOCKS[3:0]]),
      .limit_dac,
      .limit_word,
      .limit_pulse_go(pulse_go),
      .frame_fault,
      .chain_refused,
      .pulse_fault,
      .busy(running),
      .make_safe,
      .refused,
      .fault,
      .fault_address,
      .result_count,
      .program_address,
      .program_word,
      .push,
      .push_word,
      .dac_cs_n,
      .dac_sclk,
      .dac_sdi,
      .dac_sdo,
      .sr_ser,
      .sr_srclk,
      .sr_rclk,
      .sr_oe_n,
      .gate,
      .adc_cs_n,
      .adc_dclock,
      .adc_dout,
      .spi_capture,
      .pulsing
  );
endmodule
