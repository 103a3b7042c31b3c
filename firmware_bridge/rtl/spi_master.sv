// One frame to any of the DACs at once, each on its own bus. SPI mode 1: SDI changes when SCLK rises and is captured
// when it falls; so is SDO.
//
// `go` begins a frame in the next cycle; `last` marks the frame's last cycle, tCSHIGH included, and `go` may follow in
// it. What a frame carries is loaded before, or in the cycle of `go`.
module spi_master
  import xbar_pkg::*;
(
    input  logic                    clk,
    input  logic                    rst,
    // divider and intervals, in cycles, all at least 1
    input  logic [TIMING_WIDTH-1:0] write_half,
    input  logic [TIMING_WIDTH-1:0] read_half,
    input  logic [TIMING_WIDTH-1:0] cs_setup,
    input  logic [TIMING_WIDTH-1:0] cs_hold,
    input  logic [TIMING_WIDTH-1:0] cs_high,
    // command
    input  logic [      N_DACS-1:0] load,
    input  logic [            23:0] frame,
    input  logic                    go,
    input  logic [      N_DACS-1:0] mask,
    input  logic                    crc,
    input  logic                    read,
    input  logic                    abort,
    output logic                    busy,
    output logic                    last,
    output logic                    capture,
    output logic [            31:0] answer[N_DACS],
    // pins
    output logic [      N_DACS-1:0] cs_n,
    output logic [      N_DACS-1:0] sclk,
    output logic [      N_DACS-1:0] sdi,
    input  logic [      N_DACS-1:0] sdo
);
  typedef enum logic [2:0] {
    IDLE,
    SETUP,
    HIGH,
    LOW,
    HOLD,
    GAP
  } state_t;
  state_t state;
  logic [TIMING_WIDTH-1:0] count, half;
  logic [5:0] bits_left;
  logic [31:0] to_send[N_DACS];

  // CRC-8, x^8 + x^2 + x + 1, initial value 0 (DAC80508 error checking).
  function automatic logic [7:0] crc8(logic [23:0] word);
    logic [7:0] r;
    r = 8'h00;
    for (int i = 23; i >= 0; i--) r = {r[6:0], 1'b0} ^ ((r[7] ^ word[i]) ? 8'h07 : 8'h00);
    return r;
  endfunction

  assign busy = state != IDLE;
  assign last = state == GAP && count == 1;

  always_ff @(posedge clk) begin
    for (int d = 0; d < N_DACS; d++) if (load[d]) to_send[d] <= {frame, crc8(frame)};
    if (state != IDLE) count <= count - 1'b1;
    case (state)
      SETUP, LOW:
      if (count == 1) begin
        if (bits_left == 0) begin
          state <= HOLD;
          count <= cs_hold;
        end else begin
          state <= HIGH;
          count <= half;
          bits_left <= bits_left - 1'b1;
          for (int d = 0; d < N_DACS; d++) begin
            sclk[d] <= !cs_n[d];
            sdi[d] <= !cs_n[d] & to_send[d][31];
            to_send[d] <= {to_send[d][30:0], 1'b0};
          end
        end
      end
      HIGH:
      if (count == 1) begin
        state <= LOW;
        count <= half;
        sclk  <= '0;
        for (int d = 0; d < N_DACS; d++) answer[d] <= {answer[d][30:0], sdo[d]};
      end
      HOLD:
      if (count == 1) begin
        state <= GAP;
        count <= cs_high;
        cs_n  <= '1;
        sdi   <= '0;
      end
      default: if (count == 1) state <= IDLE;
    endcase
    if (go) begin
      state <= SETUP;
      count <= cs_setup;
      half <= read ? read_half : write_half;
      bits_left <= crc ? 6'd32 : 6'd24;
      capture <= read;
      cs_n <= ~mask;
      for (int d = 0; d < N_DACS; d++) answer[d] <= '0;
    end
    if (rst || (abort && !go)) begin
      state <= IDLE;
      count <= '0;
      cs_n  <= '1;
      sclk  <= '0;
      sdi   <= '0;
      capture <= 1'b0;
    end
  end
endmodule
