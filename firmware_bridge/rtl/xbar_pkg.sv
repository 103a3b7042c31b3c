// Printed by `python -m firmware_bridge.gateware`; do not edit.

/* verilator lint_off UNUSEDPARAM */
package xbar_pkg;
  localparam int N_DACS = 8;
  localparam int N_ADCS = 32;
  localparam int N_SAFE_FRAMES = 16;
  localparam int PROGRAM_WORDS = 24576;
  localparam int RESULT_WORDS = 24576;
  localparam int BURST_WORDS = 16;
  localparam int TIMING_WIDTH = 16;
  localparam logic [31:0] ID_VALUE = 32'h58424152;
  localparam logic [31:0] VERSION_VALUE = 32'h1;
  localparam logic [31:0] MAP_HASH_VALUE = 32'h9988e1c3;

  // Registers, by word address on the host's bus
  localparam logic [7:0] REG_ID = 8'h0;
  localparam logic [7:0] REG_VERSION = 8'h1;
  localparam logic [7:0] REG_MAP_HASH = 8'h2;
  localparam logic [7:0] REG_CONTROL = 8'h3;
  localparam logic [7:0] REG_STATUS = 8'h4;
  localparam logic [7:0] REG_ERROR_ADDRESS = 8'h5;
  localparam logic [7:0] REG_RESULT_COUNT = 8'h6;
  localparam logic [7:0] REG_CYCLES_LOW = 8'h7;
  localparam logic [7:0] REG_CYCLES_HIGH = 8'h8;
  localparam logic [7:0] REG_DAC_PRESENT = 8'h9;
  localparam logic [7:0] REG_ADC_PRESENT = 8'ha;
  localparam logic [7:0] REG_PROGRAM_LENGTH = 8'hb;
  localparam logic [7:0] REG_SAFE_WAIT = 8'hc;
  localparam logic [7:0] REG_SAFE_COUNT = 8'hd;
  localparam logic [7:0] REG_SPI_WRITE_HALF_CYCLES = 8'h10;
  localparam logic [7:0] REG_SPI_READ_HALF_CYCLES = 8'h11;
  localparam logic [7:0] REG_SPI_CS_SETUP_CYCLES = 8'h12;
  localparam logic [7:0] REG_SPI_CS_HOLD_CYCLES = 8'h13;
  localparam logic [7:0] REG_SPI_CS_HIGH_CYCLES = 8'h14;
  localparam logic [7:0] REG_SR_HALF_CYCLES = 8'h15;
  localparam logic [7:0] REG_SR_LATCH_CYCLES = 8'h16;
  localparam logic [7:0] REG_ADC_HALF_CYCLES = 8'h17;
  localparam logic [7:0] REG_ADC_WINDOW_CLOCKS = 8'h18;
  localparam logic [7:0] REG_ADC_LOW_CLOCKS = 8'h19;
  localparam logic [7:0] REG_ADC_CLOCKS = 8'h1a;
  localparam logic [7:0] REG_SAFE_FRAME = 8'h20;
  localparam logic [7:0] REG_LIMIT_WIDE = 8'h30;
  localparam logic [7:0] REG_LIMIT_REGISTERS = 8'h31;
  localparam logic [7:0] REG_LIMIT_WIDTH_LOW = 8'h32;
  localparam logic [7:0] REG_LIMIT_WIDTH_HIGH = 8'h33;
  localparam logic [7:0] REG_LIMIT_INTERVAL = 8'h34;
  localparam logic [7:0] REG_LIMIT_SR_BITS = 8'h35;
  localparam logic [7:0] REG_LIMIT_FIXED = 8'h38;
  localparam logic [7:0] REG_EVENTS = 8'h40;
  localparam logic [7:0] REG_EVENT_ENABLE = 8'h41;
  localparam logic [7:0] REG_WATCHDOG = 8'h42;
  localparam logic [7:0] REG_CLOCK_HZ = 8'h43;
  localparam logic [7:0] REG_BAD_ACCESS = 8'h44;
  localparam logic [7:0] REG_PROGRAM_ADDRESS = 8'h45;
  localparam logic [7:0] REG_RESULT_ADDRESS = 8'h46;
  localparam logic [7:0] REG_RESULT_SIZE = 8'h47;
  localparam logic [7:0] REG_LIMIT_CODE = 8'h80;

  function automatic logic is_register(logic [9:0] address);
    return address <= 10'hd
        || (address >= 10'h10 && address <= 10'h1a)
        || (address >= 10'h20 && address <= 10'h35)
        || (address >= 10'h38 && address <= 10'h47)
        || (address >= 10'h80 && address <= 10'hff);
  endfunction

  function automatic logic is_writable(logic [9:0] address);
    return (address >= 10'h3 && address <= 10'h3)
        || (address >= 10'h9 && address <= 10'hd)
        || (address >= 10'h10 && address <= 10'h1a)
        || (address >= 10'h20 && address <= 10'h35)
        || (address >= 10'h38 && address <= 10'h42)
        || (address >= 10'h45 && address <= 10'h47)
        || (address >= 10'h80 && address <= 10'hff);
  endfunction

  // Timing at power-up, so that making safe before the first configuration works
  function automatic logic [15:0] timing_reset(logic [3:0] index);
    case (index)
      4'd0: return 16'd1;
      4'd1: return 16'd3;
      4'd2: return 16'd2;
      4'd3: return 16'd1;
      4'd4: return 16'd2;
      4'd5: return 16'd5;
      4'd6: return 16'd5;
      4'd7: return 16'd42;
      4'd8: return 16'd5;
      4'd9: return 16'd20;
      4'd10: return 16'd24;
      default: return '0;
    endcase
  endfunction

  // Bits of CONTROL
  localparam int CONTROL_START_BIT = 0;
  localparam int CONTROL_SAFE_BIT = 1;
  localparam int CONTROL_RESET_BIT = 2;
  localparam int CONTROL_LATCH_BIT = 3;
  localparam int CONTROL_STORE_BIT = 4;

  // Bits of STATUS
  localparam int STATUS_BUSY_BIT = 0;
  localparam int STATUS_RUNNING_BIT = 1;
  localparam int STATUS_LATCHED_BIT = 2;
  localparam int STATUS_WATCHDOG_BIT = 3;
  localparam int STATUS_ACCESS_BIT = 4;

  // Bits of EVENTS
  localparam int EVENT_OVER_BIT = 0;
  localparam int EVENT_REFUSED_BIT = 1;
  localparam int EVENT_WATCHDOG_BIT = 2;
  localparam int EVENT_ACCESS_BIT = 3;

  // Why a word, or a program, is refused
  localparam logic [7:0] FAULT_NONE = 8'h0;
  localparam logic [7:0] FAULT_OPCODE = 8'h1;
  localparam logic [7:0] FAULT_RESERVED = 8'h2;
  localparam logic [7:0] FAULT_FRAME = 8'h3;
  localparam logic [7:0] FAULT_CHAIN = 8'h4;
  localparam logic [7:0] FAULT_WIDTH = 8'h5;
  localparam logic [7:0] FAULT_CONNECTED = 8'h6;
  localparam logic [7:0] FAULT_SAMPLING = 8'h7;
  localparam logic [7:0] FAULT_NO_SAMPLE = 8'h8;
  localparam logic [7:0] FAULT_NO_CHIP = 8'h9;
  localparam logic [7:0] FAULT_POSITIONS = 8'ha;
  localparam logic [7:0] FAULT_CUT_SHORT = 8'hb;
  localparam logic [7:0] FAULT_AFTER_END = 8'hc;
  localparam logic [7:0] FAULT_RESULTS_FULL = 8'hd;
  localparam logic [7:0] FAULT_STOPPED = 8'he;
  localparam logic [7:0] FAULT_LIMIT_CODE = 8'hf;
  localparam logic [7:0] FAULT_LIMIT_REGISTER = 8'h10;
  localparam logic [7:0] FAULT_LIMIT_FIXED = 8'h11;
  localparam logic [7:0] FAULT_LIMIT_WIDTH = 8'h12;
  localparam logic [7:0] FAULT_LIMIT_INTERVAL = 8'h13;
  localparam logic [7:0] FAULT_LIMIT_CHAIN = 8'h14;
  localparam logic [7:0] FAULT_LOCKED = 8'h15;
  localparam logic [7:0] FAULT_BUFFER = 8'h16;
  localparam logic [7:0] FAULT_FETCH = 8'h17;
  localparam logic [7:0] FAULT_STORE = 8'h18;
  localparam logic [7:0] FAULT_WATCHDOG = 8'h19;

  // Instructions, and where their fields are
  localparam logic [7:0] OP_NOP = 8'h0;
  localparam logic [7:0] OP_END = 8'h1;
  localparam logic [7:0] OP_WAIT = 8'h2;
  localparam int WAIT_HIGH_LSB = 0, WAIT_HIGH_WIDTH = 24;
  localparam int WAIT_LOW_LSB = 0, WAIT_LOW_WIDTH = 32;
  localparam logic [7:0] OP_SPI_WRITE = 8'h10;
  localparam int SPI_WRITE_DAC_MASK_LSB = 0, SPI_WRITE_DAC_MASK_WIDTH = 8;
  localparam int SPI_WRITE_CRC_LSB = 8, SPI_WRITE_CRC_WIDTH = 1;
  localparam logic [7:0] OP_SPI_READ = 8'h11;
  localparam int SPI_READ_DAC_MASK_LSB = 0, SPI_READ_DAC_MASK_WIDTH = 8;
  localparam int SPI_READ_CRC_LSB = 8, SPI_READ_CRC_WIDTH = 1;
  localparam logic [7:0] OP_SHIFT = 8'h20;
  localparam int SHIFT_BITS_LSB = 0, SHIFT_BITS_WIDTH = 8;
  localparam logic [7:0] OP_OUTPUT_ENABLE = 8'h21;
  localparam int OUTPUT_ENABLE_ENABLE_LSB = 0, OUTPUT_ENABLE_ENABLE_WIDTH = 1;
  localparam logic [7:0] OP_GATE = 8'h30;
  localparam int GATE_CONNECT_LSB = 0, GATE_CONNECT_WIDTH = 1;
  localparam logic [7:0] OP_PULSE = 8'h31;
  localparam int PULSE_WIDTH_LSB = 0, PULSE_WIDTH_WIDTH = 24;
  localparam logic [7:0] OP_SAMPLE = 8'h40;
  localparam int SAMPLE_ADC_MASK_LSB = 0, SAMPLE_ADC_MASK_WIDTH = 32;
  localparam logic [7:0] OP_COLLECT = 8'h41;
  localparam logic [7:0] OP_MVM = 8'h50;
  localparam int MVM_DAC_MASK_LSB = 0, MVM_DAC_MASK_WIDTH = 8;
  localparam int MVM_CRC_LSB = 8, MVM_CRC_WIDTH = 1;
  localparam int MVM_WIDE_LSB = 13, MVM_WIDE_WIDTH = 1;
  localparam int MVM_COUNT_LSB = 0, MVM_COUNT_WIDTH = 16;
  localparam int MVM_SETTLE_LSB = 0, MVM_SETTLE_WIDTH = 32;
  localparam int MVM_LDAC_FRAME_LSB = 0, MVM_LDAC_FRAME_WIDTH = 24;
  localparam int MVM_N_POSITIONS_LSB = 9, MVM_N_POSITIONS_WIDTH = 4;
  localparam int MVM_SR_BITS_LSB = 16, MVM_SR_BITS_WIDTH = 8;
  localparam int MVM_ADC_MASK_LSB = 0, MVM_ADC_MASK_WIDTH = 32;
  localparam int MVM_MUX_SETTLE_LSB = 0, MVM_MUX_SETTLE_WIDTH = 32;
  localparam logic [7:0] OP_PULSES = 8'h51;
  localparam int PULSES_DAC_MASK_LSB = 0, PULSES_DAC_MASK_WIDTH = 8;
  localparam int PULSES_CRC_LSB = 8, PULSES_CRC_WIDTH = 1;
  localparam int PULSES_WIDE_LSB = 13, PULSES_WIDE_WIDTH = 1;
  localparam int PULSES_COUNT_LSB = 0, PULSES_COUNT_WIDTH = 16;
  localparam int PULSES_SETTLE_LSB = 0, PULSES_SETTLE_WIDTH = 32;
  localparam int PULSES_LDAC_FRAME_LSB = 0, PULSES_LDAC_FRAME_WIDTH = 24;

  // Bits of header word `index` that an instruction leaves unused and that must be zero; an unknown
  // opcode leaves all unused.
  function automatic logic [31:0] reserved_bits(logic [7:0] opcode, logic [2:0] index);
    case ({opcode, index})
      {OP_NOP, 3'd0}: return 32'h00ffffff;
      {OP_END, 3'd0}: return 32'h00ffffff;
      {OP_WAIT, 3'd0}: return 32'h00000000;
      {OP_WAIT, 3'd1}: return 32'h00000000;
      {OP_SPI_WRITE, 3'd0}: return 32'h00fffe00;
      {OP_SPI_READ, 3'd0}: return 32'h00fffe00;
      {OP_SHIFT, 3'd0}: return 32'h00ffff00;
      {OP_OUTPUT_ENABLE, 3'd0}: return 32'h00fffffe;
      {OP_GATE, 3'd0}: return 32'h00fffffe;
      {OP_PULSE, 3'd0}: return 32'h00000000;
      {OP_SAMPLE, 3'd0}: return 32'h00ffffff;
      {OP_SAMPLE, 3'd1}: return 32'h00000000;
      {OP_COLLECT, 3'd0}: return 32'h00ffffff;
      {OP_MVM, 3'd0}: return 32'h0000c000;
      {OP_MVM, 3'd1}: return 32'hffff0000;
      {OP_MVM, 3'd2}: return 32'h00000000;
      {OP_MVM, 3'd3}: return 32'hff000000;
      {OP_MVM, 3'd4}: return 32'h00000000;
      {OP_MVM, 3'd5}: return 32'h00000000;
      {OP_PULSES, 3'd0}: return 32'h00ffde00;
      {OP_PULSES, 3'd1}: return 32'hffff0000;
      {OP_PULSES, 3'd2}: return 32'h00000000;
      {OP_PULSES, 3'd3}: return 32'hff000000;
      default: return 32'hffffffff;
    endcase
  endfunction
endpackage
/* verilator lint_on UNUSEDPARAM */
