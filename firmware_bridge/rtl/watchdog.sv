// Makes the outputs safe by itself when the host has been silent for too long. It watches from the start of a program
// until the outputs are safe: what is safe needs no watching.
module watchdog (
    input  logic        clk,
    input  logic        rst,
    input  logic [31:0] patience  /* verilator public_flat_rd */,  // cycles, 0: for ever
    input  logic        heard,     // the host has begun an access
    input  logic        started,
    input  logic        safe,
    output logic        bite
);
  logic watching  /* verilator public_flat_rd */;
  logic [31:0] silent  /* verilator public_flat_rw */;

  assign bite = watching && patience != 0 && silent >= patience;

  always_ff @(posedge clk) begin
    if (watching) silent <= heard ? '0 : silent + 1'b1;
    if (started) begin
      watching <= 1'b1;
      silent   <= '0;
    end
    if (rst || safe || bite) watching <= 1'b0;
  end
endmodule
