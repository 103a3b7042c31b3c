// What the host writes and reads, but for the limits: commands, configuration, status, events and the interrupt.
module control_registers
  import xbar_pkg::*;
(
    input  logic                    clk,
    input  logic                    rst,
    input  logic                    we,
    input  logic [             7:0] write_address,
    input  logic [            31:0] write_word,
    input  logic                    read,
    input  logic [             7:0] read_address,
    output logic [            31:0] read_word,      // one cycle later; zero for what is not here
    // commands
    output logic                    start,
    output logic                    store,
    output logic                    safe,
    output logic                    clear,
    output logic                    latch,
    // configuration
    output logic [      N_DACS-1:0] dac_present,
    output logic [      N_ADCS-1:0] adc_present,
    output logic [            31:0] safe_wait,
    output logic [             4:0] safe_count,
    output logic [            23:0] safe_frame[N_SAFE_FRAMES],
    output logic [TIMING_WIDTH-1:0] timing[16],
    output logic [            31:0] patience,
    output logic [            31:0] program_address,
    output logic [            15:0] program_length,
    output logic [            31:0] result_address,
    output logic [            15:0] result_size,
    // status
    input  logic [            31:0] clock_hz,
    input  logic                    busy,
    input  logic                    running,
    input  logic                    latched,
    input  logic [             7:0] fault,
    input  logic [            15:0] fault_address,
    input  logic [            15:0] result_count,
    input  logic [            63:0] cycles,
    // events
    input  logic                    over,
    input  logic                    refused,
    input  logic                    bitten,
    input  logic                    bad_access,
    input  logic [            12:0] bad_where,
    output logic                    locked,
    output logic                    irq
);
  localparam int N_EVENTS = 4;
  logic [N_EVENTS-1:0] events, raised, enabled, cleared;
  logic [12:0] bad_access_where;
  logic command;

  assign command = we && write_address == REG_CONTROL;
  assign start = command && write_word[CONTROL_START_BIT];
  assign store = command && write_word[CONTROL_STORE_BIT];
  assign safe = command && write_word[CONTROL_SAFE_BIT];
  assign clear = command && write_word[CONTROL_RESET_BIT];
  assign latch = command && write_word[CONTROL_LATCH_BIT];

  always_comb begin
    raised = '0;
    raised[EVENT_OVER_BIT] = over;
    raised[EVENT_REFUSED_BIT] = refused;
    raised[EVENT_WATCHDOG_BIT] = bitten;
    raised[EVENT_ACCESS_BIT] = bad_access;
  end
  assign cleared = we && write_address == REG_EVENTS ? write_word[N_EVENTS-1:0] : '0;
  assign locked = events[EVENT_WATCHDOG_BIT];
  assign irq = (events & enabled) != 0;

  always_ff @(posedge clk) begin
    events <= (events & ~cleared) | raised;
    if (bad_access && (!events[EVENT_ACCESS_BIT] || cleared[EVENT_ACCESS_BIT])) bad_access_where <= bad_where;
    if (we) begin
      case (write_address)
        REG_DAC_PRESENT: dac_present <= write_word[N_DACS-1:0];
        REG_ADC_PRESENT: adc_present <= write_word;
        REG_PROGRAM_LENGTH: program_length <= write_word[15:0];
        REG_SAFE_WAIT: safe_wait <= write_word;
        REG_SAFE_COUNT: safe_count <= write_word[4:0];
        REG_EVENT_ENABLE: enabled <= write_word[N_EVENTS-1:0];
        REG_WATCHDOG: patience <= write_word;
        REG_PROGRAM_ADDRESS: program_address <= write_word;
        REG_RESULT_ADDRESS: result_address <= write_word;
        REG_RESULT_SIZE: result_size <= write_word[15:0];
        default: ;
      endcase
      if (write_address[7:4] == REG_SPI_WRITE_HALF_CYCLES[7:4])
        timing[write_address[3:0]] <= write_word[TIMING_WIDTH-1:0];
      if (write_address[7:4] == REG_SAFE_FRAME[7:4]) safe_frame[write_address[3:0]] <= write_word[23:0];
    end
    if (rst) begin
      events <= '0;
      enabled <= '0;
      dac_present <= '0;
      adc_present <= '0;
      safe_wait <= '0;
      safe_count <= '0;
      patience <= '0;
      program_length <= '0;
      result_size <= '0;
      bad_access_where <= '0;
      for (int i = 0; i < 16; i++) timing[i] <= timing_reset(4'(i));
    end
  end

  always_ff @(posedge clk)
    if (read)
    case (read_address)
      REG_ID: read_word <= ID_VALUE;
      REG_VERSION: read_word <= VERSION_VALUE;
      REG_MAP_HASH: read_word <= MAP_HASH_VALUE;
      REG_STATUS: begin
        read_word <= {16'b0, fault, 8'b0};
        read_word[STATUS_BUSY_BIT] <= busy;
        read_word[STATUS_RUNNING_BIT] <= running;
        read_word[STATUS_LATCHED_BIT] <= latched;
        read_word[STATUS_WATCHDOG_BIT] <= events[EVENT_WATCHDOG_BIT];
        read_word[STATUS_ACCESS_BIT] <= events[EVENT_ACCESS_BIT];
      end
      REG_ERROR_ADDRESS: read_word <= {16'b0, fault_address};
      REG_RESULT_COUNT: read_word <= {16'b0, result_count};
      REG_CYCLES_LOW: read_word <= cycles[31:0];
      REG_CYCLES_HIGH: read_word <= cycles[63:32];
      REG_DAC_PRESENT: read_word <= {24'b0, dac_present};
      REG_ADC_PRESENT: read_word <= adc_present;
      REG_PROGRAM_LENGTH: read_word <= {16'b0, program_length};
      REG_SAFE_WAIT: read_word <= safe_wait;
      REG_SAFE_COUNT: read_word <= {27'b0, safe_count};
      REG_EVENTS: read_word <= {28'b0, events};
      REG_EVENT_ENABLE: read_word <= {28'b0, enabled};
      REG_WATCHDOG: read_word <= patience;
      REG_CLOCK_HZ: read_word <= clock_hz;
      REG_BAD_ACCESS: read_word <= {19'b0, bad_access_where};
      REG_PROGRAM_ADDRESS: read_word <= program_address;
      REG_RESULT_ADDRESS: read_word <= result_address;
      REG_RESULT_SIZE: read_word <= {16'b0, result_size};
      default: begin
        read_word <= '0;
        if (read_address[7:4] == REG_SPI_WRITE_HALF_CYCLES[7:4]) read_word <= {16'b0, timing[read_address[3:0]]};
        if (read_address[7:4] == REG_SAFE_FRAME[7:4]) read_word <= {8'b0, safe_frame[read_address[3:0]]};
      end
    endcase
endmodule
