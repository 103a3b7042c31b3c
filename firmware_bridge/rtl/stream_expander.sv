// The words of the single instructions that MVM and PULSES stand for, one at a time, as `expand()` defines them.
//
// `word` is what the sequencer would have fetched; `take` moves on. Words of the payload come from the program memory,
// so its read address is worked out one word ahead.
module stream_expander
  import xbar_pkg::*;
#(
    parameter int ADDRESS_WIDTH = 15
) (
    input  logic                     clk,
    input  logic                     start,
    input  logic                     take,
    // header
    input  logic                     is_mvm,
    input  logic [       N_DACS-1:0] dac_mask,
    input  logic [              3:0] n_dacs,
    input  logic                     crc,
    input  logic                     wide,         // a DAC has sixteen channels, not eight
    input  logic [             15:0] count,
    input  logic [             31:0] settle,
    input  logic [             23:0] ldac_frame,
    input  logic [              3:0] n_positions,
    input  logic [              7:0] sr_bits,
    input  logic [              3:0] sr_words,
    input  logic [             31:0] adc_mask,
    input  logic [             31:0] mux_settle,
    input  logic [ADDRESS_WIDTH-1:0] head,        // first word of the payload: mux words or widths
    input  logic [ADDRESS_WIDTH-1:0] codes,       // first word of the codes
    // word
    output logic [ADDRESS_WIDTH-1:0] address,
    input  logic [             31:0] memory_word,
    output logic [             31:0] word,
    output logic                     done         // `word` is the last one
);
  typedef enum logic [2:0] {
    LOAD,
    LDAC,
    CHAIN,
    SETTLE,
    CONVERT,
    GET,
    GATE
  } op_t;

  typedef struct packed {
    op_t op;
    logic [3:0] sub;  // word within the instruction
    logic [3:0] channel;
    logic [3:0] position;  // mux position that converts
    logic [15:0] vector;  // vector that converts, or entry of the table
    logic prologue;
    logic first;  // the chain goes back to position 0
    logic [ADDRESS_WIDTH-1:0] codes;  // codes of the next vector to load
    logic [ADDRESS_WIDTH-1:0] mux;  // next mux word
    logic [ADDRESS_WIDTH-1:0] width;  // next width
  } place_t;

  place_t now, ahead, next;
  logic op_ends, last_position, last_vector;

  assign last_position = now.position == n_positions - 1'b1;
  assign last_vector = now.vector == count - 1'b1;

  always_comb begin
    unique case (now.op)
      LOAD, LDAC: op_ends = now.sub == n_dacs;
      CHAIN: op_ends = now.sub == sr_words;
      SETTLE, CONVERT: op_ends = now.sub == 4'd1;
      default: op_ends = 1'b1;
    endcase
    done = now.op == GATE ? last_vector : now.op == GET && last_position && last_vector;
  end

  always_comb begin
    next = now;
    next.sub = now.sub + 1'b1;
    if (now.op == CHAIN && now.sub != 0) next.mux = now.mux + 1'b1;
    if (op_ends) begin
      next.sub = '0;
      unique case (now.op)
        LOAD:
        if (now.channel != (wide ? 4'd15 : 4'd7)) next.channel = now.channel + 1'b1;
        else begin
          next.channel = '0;
          next.codes = now.codes + (wide ? {{(ADDRESS_WIDTH - 7) {1'b0}}, n_dacs, 3'b0} : {{(ADDRESS_WIDTH - 6) {1'b0}}, n_dacs, 2'b0});
          if (now.prologue || !is_mvm || last_position) begin
            next.op = LDAC;
          end else begin
            next.op = CHAIN;
            next.first = 1'b0;
          end
        end
        LDAC: begin
          next.op = is_mvm ? CHAIN : SETTLE;
          next.first = 1'b1;
          next.mux = head;
        end
        CHAIN: next.op = SETTLE;
        SETTLE: next.op = !is_mvm ? GATE : now.prologue ? CONVERT : GET;
        CONVERT: begin
          next.prologue = 1'b0;
          if (now.position == 0 && !last_vector) next.op = LOAD;
          else if (!last_position) begin
            next.op = CHAIN;
            next.first = 1'b0;
          end else next.op = last_vector ? GET : LDAC;
        end
        GET: begin
          next.op = CONVERT;
          next.position = last_position ? '0 : now.position + 1'b1;
          if (last_position) next.vector = now.vector + 1'b1;
        end
        default: begin  // GATE
          next.op = LOAD;
          next.vector = now.vector + 1'b1;
          next.width = now.width + 1'b1;
        end
      endcase
    end
    ahead = take ? next : now;
    if (start) begin
      ahead = '0;
      ahead.op = LOAD;
      ahead.prologue = 1'b1;
      ahead.first = 1'b1;
      ahead.codes = codes;
      ahead.mux = head;
      ahead.width = head;
    end
  end

  always_ff @(posedge clk) now <= ahead;

  always_comb begin
    unique case (ahead.op)
      LOAD:
      address = ahead.codes + (wide
          ? {{(ADDRESS_WIDTH - 7) {1'b0}}, ahead.sub - 4'd1, ahead.channel[3:1]}
          : {{(ADDRESS_WIDTH - 6) {1'b0}}, ahead.sub - 4'd1, ahead.channel[2:1]});
      CHAIN: address = ahead.mux;
      default: address = ahead.width;
    endcase
  end

  always_comb begin
    unique case (now.op)
      LOAD:
      word = now.sub == 0 ? {OP_SPI_WRITE, 15'b0, crc, dac_mask}
          : {11'b0, wide, wide ? now.channel : {1'b1, now.channel[2:0]}, now.channel[0] ? memory_word[31:16] : memory_word[15:0]};
      LDAC: word = now.sub == 0 ? {OP_SPI_WRITE, 15'b0, crc, dac_mask} : {8'b0, ldac_frame};
      CHAIN: word = now.sub == 0 ? {OP_SHIFT, 16'b0, sr_bits} : memory_word;
      SETTLE: word = now.sub == 0 ? {OP_WAIT, 24'b0} : now.first ? settle : mux_settle;
      CONVERT: word = now.sub == 0 ? {OP_SAMPLE, 24'b0} : adc_mask;
      GET: word = {OP_COLLECT, 24'b0};
      // A width that does not fit reads as 0, which PULSE refuses.
      default: word = {OP_PULSE, memory_word[31:24] == 0 ? memory_word[23:0] : 24'b0};
    endcase
  end
endmodule
