// What no program may do, whatever software sends it: codes and registers of the DACs, width and spacing of pulses,
// length of the chain. Latched once; then only the reset of the fabric opens it again.
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
  logic [31:0] code_limit[128];  // {high, low} of channel 8·chip + channel, or 16·chip + channel
  logic wide;  // a DAC has sixteen channels; their registers begin at this address
  logic [24:0] fixed[8];  // {used, 0, register, the only value}
  logic fixed_refused;
  logic [31:0] registers;
  logic [23:0] width_low, width_high;
  logic [31:0] interval;
  logic [31:0] since_pulse  /* verilator public_flat_rw */;
  logic [7:0] sr_limit;
  logic [2:0] index;
  logic channel;
  logic [31:0] bound;

  always_ff @(posedge clk) begin
    if (we && !latched) begin
      if (address[7] == REG_LIMIT_CODE[7]) code_limit[address[6:0]] <= data;
      if (address[7:3] == REG_LIMIT_FIXED[7:3]) fixed[address[2:0]] <= data[24:0];
      case (address)
        REG_LIMIT_WIDE: wide <= data[0];
        REG_LIMIT_REGISTERS: registers <= data;
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
      REG_LIMIT_WIDE: read_word <= {31'b0, wide};
      REG_LIMIT_REGISTERS: read_word <= registers;
      REG_LIMIT_WIDTH_LOW: read_word <= {8'b0, width_low};
      REG_LIMIT_WIDTH_HIGH: read_word <= {8'b0, width_high};
      REG_LIMIT_INTERVAL: read_word <= interval;
      REG_LIMIT_SR_BITS: read_word <= {24'b0, sr_limit};
      default: begin
        read_word <= '0;
        if (read_address[7] == REG_LIMIT_CODE[7]) read_word <= code_limit[read_address[6:0]];
        if (read_address[7:3] == REG_LIMIT_FIXED[7:3]) read_word <= {7'b0, fixed[read_address[2:0]]};
      end
    endcase

  always_comb begin
    index = '0;
    for (int d = 0; d < N_DACS; d++) if (dac[d]) index = index | 3'(d);
  end
  assign bound   = code_limit[wide?{index, frame[19:16]}:{1'b0, index, frame[18:16]}];
  assign channel = wide ? frame[22:20] == 3'h1 : frame[22:19] == 4'h1;

  always_comb begin
    fixed_refused = 1'b0;
    for (int i = 0; i < 8; i++)
      if (fixed[i][24] && frame[22:16] == fixed[i][22:16] && frame[15:0] != fixed[i][15:0]) fixed_refused = 1'b1;
  end

  always_comb begin
    frame_fault = FAULT_NONE;
    if (!frame[23]) begin
      if (registers != '1 && (frame[22:21] != 0 || !registers[frame[20:16]])) frame_fault = FAULT_LIMIT_REGISTER;
      else if (fixed_refused) frame_fault = FAULT_LIMIT_FIXED;
      else if (channel && (frame[15:0] < bound[15:0] || frame[15:0] > bound[31:16]))
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
