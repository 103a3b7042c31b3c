// The gateware behind its bus: registers, memories, sequencer. One 32-bit word is written or read per cycle; what is
// read comes one cycle later. Addresses count words: registers, the program at 0x8000, results at 0x10000.
module xbar_core
  import xbar_pkg::*;
(
    input  logic              clk,
    input  logic              rst,
    input  logic              host_we,
    input  logic [      16:0] host_address,
    input  logic [      31:0] host_write,
    output logic [      31:0] host_read,
    output logic              busy,
    output logic [      63:0] cycles,
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
    input  logic [N_ADCS-1:0] adc_dout,
    output logic              spi_capture,
    output logic              pulsing
);
  localparam int ADDRESS_WIDTH = 15;

  logic [N_DACS-1:0] dac_present;
  logic [N_ADCS-1:0] adc_present;
  logic [15:0] program_length, fault_address, result_count;
  logic [31:0] safe_wait, program_word, push_word, result_word;
  logic [4:0] safe_count;
  logic [23:0] safe_frame[N_SAFE_FRAMES];
  logic [TIMING_WIDTH-1:0] timing[16];
  logic [7:0] fault;
  logic [ADDRESS_WIDTH-1:0] program_address;
  logic latched, chain_refused, pulse_go;
  logic [N_DACS-1:0] limit_dac;
  logic [23:0] limit_word;
  logic [7:0] frame_fault, pulse_fault;
  logic push, start, safe, clear;
  logic in_registers, in_program;
  logic [7:0] register;

  assign in_registers = host_address[16:8] == 0;
  assign in_program = host_address[16:15] == 2'b01;
  assign register = host_address[7:0];
  assign start = host_we && in_registers && register == REG_CONTROL && host_write[0] && latched;
  assign safe = host_we && in_registers && register == REG_CONTROL && host_write[1];
  assign clear = rst || (host_we && in_registers && register == REG_CONTROL && host_write[2]);

  always_ff @(posedge clk)
    if (host_we && in_registers) begin
      if (register == REG_DAC_PRESENT) dac_present <= host_write[N_DACS-1:0];
      if (register == REG_ADC_PRESENT) adc_present <= host_write;
      if (register == REG_PROGRAM_LENGTH) program_length <= host_write[15:0];
      if (register == REG_SAFE_WAIT) safe_wait <= host_write;
      if (register == REG_SAFE_COUNT) safe_count <= host_write[4:0];
      if (register[7:4] == REG_SPI_WRITE_HALF_CYCLES[7:4]) timing[register[3:0]] <= host_write[TIMING_WIDTH-1:0];
      if (register[7:4] == REG_SAFE_FRAME[7:4]) safe_frame[register[3:0]] <= host_write[23:0];
    end

  always_ff @(posedge clk)
    if (rst) cycles <= '0;
    else if (busy) cycles <= cycles + 1'b1;

  logic [31:0] register_word;
  logic from_results;
  always_ff @(posedge clk) begin
    from_results <= host_address[16];
    case (register)
      REG_ID: register_word <= ID_VALUE;
      REG_VERSION: register_word <= VERSION_VALUE;
      REG_MAP_HASH: register_word <= MAP_HASH_VALUE;
      REG_STATUS: register_word <= {16'b0, fault, 5'b0, latched, 1'b0, busy};
      REG_ERROR_ADDRESS: register_word <= {16'b0, fault_address};
      REG_RESULT_COUNT: register_word <= {16'b0, result_count};
      REG_CYCLES_LOW: register_word <= cycles[31:0];
      REG_CYCLES_HIGH: register_word <= cycles[63:32];
      REG_DAC_PRESENT: register_word <= {24'b0, dac_present};
      REG_ADC_PRESENT: register_word <= adc_present;
      default: register_word <= '0;
    endcase
    if (!in_registers) register_word <= '0;
  end
  assign host_read = from_results ? result_word : register_word;

  word_memory #(
      .DEPTH(PROGRAM_WORDS),
      .ADDRESS_WIDTH(ADDRESS_WIDTH)
  ) program_memory (
      .clk,
      .we(host_we && in_program),
      .write_address(host_address[ADDRESS_WIDTH-1:0]),
      .write_word(host_write),
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
      .read_address(host_address[ADDRESS_WIDTH-1:0]),
      .read_word(result_word)
  );

  limit_checker limits (
      .clk,
      .rst,
      .we(host_we && in_registers),
      .address(register),
      .data(host_write),
      .latch(host_we && in_registers && register == REG_CONTROL && host_write[3]),
      .latched,
      .dac(limit_dac),
      .frame(limit_word),
      .frame_fault,
      .sr_bits(limit_word[SHIFT_BITS_LSB+:SHIFT_BITS_WIDTH]),
      .chain_refused,
      .busy,
      .pulse_go,
      .width(limit_word[PULSE_WIDTH_LSB+:PULSE_WIDTH_WIDTH]),
      .pulse_fault
  );

  sequencer #(
      .ADDRESS_WIDTH(ADDRESS_WIDTH)
  ) sequencer (
      .clk,
      .rst(clear),
      .start,
      .safe,
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
      .busy,
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
