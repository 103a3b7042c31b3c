// Carries a program from the host's memory into the program memory and has it run; carries its results back when it is
// told to, since a host that died meanwhile no longer owns the buffer. An AXI master with one burst of at most 16 words under way, which is what a Zynq-7000's high-performance port takes. Buffers
// begin at multiples of a burst, so that none crosses a 4 KiB boundary.
//
// A program runs only when all of it has arrived; a burst that was begun is carried to its end whatever happens.
module buffer_mover
  import xbar_pkg::*;
#(
    parameter int ADDRESS_WIDTH = 15
) (
    input  logic                     clk,
    input  logic                     rst,
    input  logic                     start,
    input  logic                     store,
    input  logic                     stop,
    input  logic                     allowed,
    input  logic [             31:0] program_address,
    input  logic [             15:0] program_length,
    input  logic [             31:0] result_address,
    input  logic [             15:0] result_size,
    output logic                     busy,
    output logic                     over,             // what was asked for, however it went
    output logic                     refuse,           // the last thing that it is busy with
    output logic [              7:0] reason,
    // sequencer
    output logic                     run,
    input  logic                     running,
    input  logic [             15:0] result_count,
    // memories; a result comes one cycle after its index
    output logic                     program_we,
    output logic [ADDRESS_WIDTH-1:0] program_index,
    output logic [             31:0] program_word,
    output logic [ADDRESS_WIDTH-1:0] result_index,
    input  logic [             31:0] result_word,
    // AXI
    output logic [             31:0] araddr,
    output logic [              3:0] arlen,
    output logic                     arvalid,
    input  logic                     arready,
    input  logic [             31:0] rdata,
    input  logic [              1:0] rresp,
    input  logic                     rvalid,
    output logic                     rready,
    output logic [             31:0] awaddr,
    output logic [              3:0] awlen,
    output logic                     awvalid,
    input  logic                     awready,
    output logic [             31:0] wdata,
    output logic                     wlast,
    output logic                     wvalid,
    input  logic                     wready,
    input  logic [              1:0] bresp,
    input  logic                     bvalid,
    output logic                     bready
);
  typedef enum logic [2:0] {
    IDLE,
    FETCH_ADDRESS,
    FETCH_DATA,
    RUN,
    RUNNING,
    STORE_ADDRESS,
    STORE_DATA,
    STORE_RESPONSE
  } state_t;
  state_t state, state_next;
  logic [15:0] index, left, count;
  logic [3:0] beats;
  logic [31:0] offset;
  logic stopping, stopped, error, bad, fetched, stored, burst_ends, misfit;

  logic [7:0] reason_now;

  assign busy = state != IDLE || refuse;
  assign count = state == FETCH_ADDRESS ? program_length : result_count;
  assign left = count - index;
  assign offset = {14'b0, index, 2'b0};
  assign stopped = stopping || stop;
  assign misfit = program_length > 16'(PROGRAM_WORDS) || result_size > 16'(RESULT_WORDS)
      || program_address[5:0] != 0 || result_address[5:0] != 0;

  assign arvalid = state == FETCH_ADDRESS;
  assign araddr = program_address + offset;
  assign arlen = left >= 16'(BURST_WORDS) ? 4'(BURST_WORDS - 1) : 4'(left - 1'b1);
  assign rready = state == FETCH_DATA;
  assign fetched = rready && rvalid;
  assign program_we = fetched;
  assign program_index = index[ADDRESS_WIDTH-1:0];
  assign program_word = rdata;

  assign awvalid = state == STORE_ADDRESS;
  assign awaddr = result_address + offset;
  assign awlen = arlen;
  assign wvalid = state == STORE_DATA;
  assign stored = wvalid && wready;
  assign wdata = result_word;
  assign wlast = beats == 0;
  assign bready = state == STORE_RESPONSE;
  assign result_index = ADDRESS_WIDTH'(index + {15'b0, stored});

  assign burst_ends = beats == 0 && (fetched || stored);
  assign bad = error || (fetched && rresp != 0);

  always_comb begin
    state_next = state;
    reason_now = FAULT_NONE;
    run = 1'b0;
    case (state)
      IDLE:
      if (start) begin
        if (!allowed) reason_now = FAULT_LOCKED;
        else if (misfit) reason_now = FAULT_BUFFER;
        else state_next = program_length == 0 ? RUN : FETCH_ADDRESS;
      end else if (store) begin
        if (misfit) reason_now = FAULT_BUFFER;
        else if (!running && result_count != 0) state_next = STORE_ADDRESS;
      end
      FETCH_ADDRESS: if (arready) state_next = FETCH_DATA;
      FETCH_DATA:
      if (burst_ends) begin
        if (bad) reason_now = FAULT_FETCH;
        state_next = bad || stopped ? IDLE : index + 1'b1 == program_length ? RUN : FETCH_ADDRESS;
      end
      RUN: begin
        // What made safe while the program was fetched comes to its end first.
        run = !running && !stopped;
        if (stopped) state_next = IDLE;
        else if (run) state_next = RUNNING;
      end
      RUNNING: if (!running) state_next = IDLE;
      STORE_ADDRESS: if (awready) state_next = STORE_DATA;
      STORE_DATA: if (burst_ends) state_next = STORE_RESPONSE;
      STORE_RESPONSE:
      if (bvalid) begin
        if (bresp != 0) reason_now = FAULT_STORE;
        state_next = bresp != 0 || stopped || index == result_count ? IDLE : STORE_ADDRESS;
      end
      default: state_next = IDLE;
    endcase
  end

  always_ff @(posedge clk) begin
    state <= state_next;
    refuse <= reason_now != FAULT_NONE;
    reason <= reason_now;
    over <= (state != IDLE || start || store) && state_next == IDLE;
    stopping <= busy && stopped;
    if (state == IDLE) index <= '0;
    else if (fetched || stored) index <= index + 1'b1;
    if (arvalid || awvalid) beats <= arlen;
    else if (fetched || stored) beats <= beats - 1'b1;
    error <= state == FETCH_DATA && bad;
    if (rst) begin
      state <= IDLE;
      refuse <= 1'b0;
      over <= 1'b0;
      stopping <= 1'b0;
    end
  end
endmodule
