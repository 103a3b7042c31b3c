// One block of memory: written on one side, read on the other with one cycle of latency.
module word_memory #(
    parameter int DEPTH = 1024,
    parameter int ADDRESS_WIDTH = 10
) (
    input  logic                     clk,
    input  logic                     we,
    input  logic [ADDRESS_WIDTH-1:0] write_address,
    input  logic [             31:0] write_word,
    input  logic [ADDRESS_WIDTH-1:0] read_address,
    output logic [             31:0] read_word
);
  logic [31:0] words[DEPTH];

  always_ff @(posedge clk) begin
    if (we) words[write_address] <= write_word;
    read_word <= words[read_address];
  end
endmodule
