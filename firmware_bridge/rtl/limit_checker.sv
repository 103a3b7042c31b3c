// What no program may do, whatever software sends it: codes, registers and gain of the DACs, width and spacing of
// pulses, length of the chain. Latched once; then only the reset of the fabric opens it again.
module limit_checker
  import xbar_pkg::*;
(
    input  logic              clk,
    input  logic              rst,
    // registers
    input  logic              we,
    input  logic [       7:0] address,
    input  logic [      31:0] data,
    input  logic              read,
    input  logic [       7:0] read_address,
    output logic [      31:0] read_word,  // one cycle later; zero for what is not here
    input  logic              latch,
    output logic              latched,
    // the frame that is about to be loaded for one DAC
    input  logic [N_DACS-1:0] dac,
    input  logic [      23:0] frame,
    output logic [       7:0] frame_fault,
    // the chain that is about to be shifted
    input  logic [       7:0] sr_bits,
    output logic              chain_refused,
    // the pulse that is about to begin
    input  logic              busy,
    input  logic              pulse_go,
    input  logic [      23:0] width,
    output logic [       7:0] pulse_fault
);
  logic [31:0] code_limit[64];  // {high, low} of channel 8·chip + channel
  logic [16:0] gain_limit;  // bit 16: any
  logic [15:0] registers;
  logic [23:0] width_low, width_high;
  logic [31:0] interval;
  logic [31:0] since_pulse  /* verilator public_flat_rw */;
  logic [7:0] sr_limit;
  logic [2:0] index;
  logic [31:0] bound;

  always_ff @(posedge clk) begin
    if (we && !latched) begin
      if (address[7:6] == REG_LIMIT_CODE[7:6]) code_limit[address[5:0]] <= data;
      case (address)
        REG_LIMIT_GAIN: gain_limit <= data[16:0];
        REG_LIMIT_REGISTERS: registers <= data[15:0];
        REG_LIMIT_WIDTH_LOW: width_low <= data[23:0];
        REG_LIMIT_WIDTH_HIGH: width_high <= data[23:0];
        REG_LIMIT_INTERVAL: interval <= data;
        REG_LIMIT_SR_BITS: sr_limit <= data[7:0];
        default: ;
      endcase
    end
    if (latch) latched <= 1'b1;
    // Cycles that no program runs in count for nothing: a pulse is never too early for being late.
    if (busy && since_pulse != '1) since_pulse <= since_pulse + 1'b1;
    if (pulse_go) since_pulse <= 32'd1;
    if (rst) begin
      latched <= 1'b0;
      since_pulse <= '1;
    end
  end

  always_ff @(posedge clk)
    if (read)
    case (read_address)
      REG_LIMIT_GAIN: read_word <= {15'b0, gain_limit};
      REG_LIMIT_REGISTERS: read_word <= {16'b0, registers};
      REG_LIMIT_WIDTH_LOW: read_word <= {8'b0, width_low};
      REG_LIMIT_WIDTH_HIGH: read_word <= {8'b0, width_high};
      REG_LIMIT_INTERVAL: read_word <= interval;
      REG_LIMIT_SR_BITS: read_word <= {24'b0, sr_limit};
      default: read_word <= read_address[7:6] == REG_LIMIT_CODE[7:6] ? code_limit[read_address[5:0]] : '0;
    endcase

  always_comb begin
    index = '0;
    for (int d = 0; d < N_DACS; d++) if (dac[d]) index = index | 3'(d);
  end
  assign bound = code_limit[{index, frame[18:16]}];

  always_comb begin
    frame_fault = FAULT_NONE;
    if (!frame[23]) begin
      if (registers != '1 && (frame[22:20] != 0 || !registers[frame[19:16]])) frame_fault = FAULT_LIMIT_REGISTER;
      else if (frame[22:16] == 7'h4 && !gain_limit[16] && frame[15:0] != gain_limit[15:0])
        frame_fault = FAULT_LIMIT_GAIN;
      else if (frame[22:19] == 4'h1 && (frame[15:0] < bound[15:0] || frame[15:0] > bound[31:16]))
        frame_fault = FAULT_LIMIT_CODE;
    end
  end

  assign chain_refused = sr_limit != 0 && sr_bits != sr_limit;

  always_comb begin
    pulse_fault = FAULT_NONE;
    if (width < width_low || width > width_high) pulse_fault = FAULT_LIMIT_WIDTH;
    else if (since_pulse < interval) pulse_fault = FAULT_LIMIT_INTERVAL;
  end
endmodule
