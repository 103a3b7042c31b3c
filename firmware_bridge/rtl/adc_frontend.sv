// Conversions of the ADS8324s, beside the sequencer: once begun, DCLOCK runs without a pause. DOUT changes when DCLOCK
// falls and is taken when it rises; the 14 bits stand after falling edges 6 to 19.
module adc_frontend
  import xbar_pkg::*;
(
    input  logic                    clk,
    input  logic                    rst,
    input  logic [TIMING_WIDTH-1:0] half,
    input  logic [TIMING_WIDTH-1:0] window_clocks,
    input  logic [TIMING_WIDTH-1:0] low_clocks,
    input  logic [TIMING_WIDTH-1:0] clocks,
    input  logic                    go,
    input  logic [      N_ADCS-1:0] mask,
    input  logic                    abort,
    output logic                    window_last,
    output logic                    over,         // no conversion runs, or this is its last cycle
    output logic [            13:0] code[N_ADCS],
    output logic [      N_ADCS-1:0] cs_n,
    output logic [      N_ADCS-1:0] dclock,
    input  logic [      N_ADCS-1:0] dout
);
  localparam logic [TIMING_WIDTH-1:0] FIRST_BIT = 6, LAST_BIT = 19;
  logic running  /* verilator public_flat_rd */;
  logic done, level;
  logic [TIMING_WIDTH-1:0] count, index;
  logic [N_ADCS-1:0] selected;
  logic edge_now, clock_ends;
  logic [TIMING_WIDTH-1:0] finished;

  assign edge_now = running && count == 1;
  assign clock_ends = edge_now && level;
  assign finished = index + 1'b1;
  assign window_last = clock_ends && finished == window_clocks;
  assign over = done || (clock_ends && finished == clocks);
  assign dclock = selected & {N_ADCS{level}};

  always_ff @(posedge clk) begin
    if (running) count <= edge_now ? half : count - 1'b1;
    if (edge_now) level <= !level;
    if (edge_now && !level && index >= FIRST_BIT && index <= LAST_BIT)
      for (int a = 0; a < N_ADCS; a++) code[a] <= {code[a][12:0], dout[a]};
    if (clock_ends) begin
      index <= finished;
      if (finished == low_clocks) cs_n <= '1;
      if (finished == clocks) done <= 1'b1;
      if (finished >= clocks && finished >= window_clocks) begin
        running <= 1'b0;
        cs_n <= '1;
        selected <= '0;
      end
    end
    if (go) begin
      running <= 1'b1;
      done <= 1'b0;
      level <= 1'b0;
      count <= half;
      index <= '0;
      cs_n <= ~mask;
      selected <= mask;
    end
    if (rst || abort) begin
      running <= 1'b0;
      done <= 1'b1;
      level <= 1'b0;
      cs_n <= '1;
      selected <= '0;
    end
  end
endmodule
