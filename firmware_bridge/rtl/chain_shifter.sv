// Shifts a word into the SN74HC595 chain, highest bit first, and latches it. SER is set while SRCLK is low and taken
// when it rises.
module chain_shifter
  import xbar_pkg::*;
(
    input  logic                    clk,
    input  logic                    rst,
    input  logic [TIMING_WIDTH-1:0] half,
    input  logic [TIMING_WIDTH-1:0] latch,
    input  logic                    load,
    input  logic [             2:0] load_index,
    input  logic [            31:0] load_word,
    input  logic                    go,
    input  logic [             7:0] bits,
    input  logic                    abort,
    output logic                    last,
    output logic                    ser,
    output logic                    srclk,
    output logic                    rclk
);
  typedef enum logic [2:0] {
    IDLE,
    LOW,
    HIGH,
    LATCH_SETUP,
    LATCH
  } state_t;
  state_t state;
  logic [TIMING_WIDTH-1:0] count;
  logic [7:0] index;
  logic [255:0] word;

  assign last = state == LATCH && count == 1;
  assign ser  = (state == LOW || state == HIGH) && word[index];

  always_ff @(posedge clk) begin
    if (load) word[{load_index, 5'b0}+:32] <= load_word;
    if (state != IDLE) count <= count - 1'b1;
    case (state)
      LOW:
      if (count == 1) begin
        state <= HIGH;
        count <= half;
        srclk <= 1'b1;
      end
      HIGH:
      if (count == 1) begin
        srclk <= 1'b0;
        index <= index - 1'b1;
        state <= index == 0 ? LATCH_SETUP : LOW;
        count <= index == 0 ? latch : half;
      end
      LATCH_SETUP:
      if (count == 1) begin
        state <= LATCH;
        count <= latch;
        rclk  <= 1'b1;
      end
      default:
      if (count == 1) begin
        state <= IDLE;
        rclk  <= 1'b0;
      end
    endcase
    if (go) begin
      state <= LOW;
      count <= half;
      index <= bits - 1'b1;
    end
    if (rst || abort) begin
      state <= IDLE;
      count <= '0;
      srclk <= 1'b0;
      rclk  <= 1'b0;
    end
  end
endmodule
