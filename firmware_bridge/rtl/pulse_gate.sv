// INH of the bit-line muxes: held by GATE, or connected for an exact number of cycles by PULSE.
module pulse_gate (
    input  logic        clk,
    input  logic        rst,
    input  logic        hold,
    input  logic        connect,
    input  logic        go,
    input  logic [23:0] width,
    input  logic        abort,
    output logic        last,
    output logic        pulsing,
    output logic        gate
);
  logic [23:0] count;

  assign last = pulsing && count == 1;

  always_ff @(posedge clk) begin
    if (hold) gate <= connect;
    if (pulsing) count <= count - 1'b1;
    if (last) begin
      gate <= 1'b0;
      pulsing <= 1'b0;
    end
    if (go) begin
      gate <= 1'b1;
      pulsing <= 1'b1;
      count <= width;
    end
    if (rst || abort) begin
      gate <= 1'b0;
      pulsing <= 1'b0;
    end
  end
endmodule
