// Fetches, checks and carries out the words of a program: one cycle per word, then the action. The words of a stream
// come from the expander instead of the memory; everything behind the fetch is the same.
//
// A word that makes no sense, or a request to be safe, disconnects the bit lines and releases the chain in the next
// cycle, and then sends the safe frames to every DAC.
module sequencer
  import xbar_pkg::*;
#(
    parameter int ADDRESS_WIDTH = 15
) (
    input  logic                     clk,
    input  logic                     rst,
    input  logic                     start,
    input  logic                     safe,
    input  logic [              7:0] safe_reason,    // why, if it is a fault
    input  logic [             15:0] result_size,
    // registers
    input  logic [       N_DACS-1:0] dac_present,
    input  logic [       N_ADCS-1:0] adc_present,
    input  logic [             15:0] program_length,
    input  logic [             31:0] safe_wait,
    input  logic [              4:0] safe_count,
    input  logic [             23:0] safe_frame[N_SAFE_FRAMES],
    input  logic [ TIMING_WIDTH-1:0] spi_write_half,
    input  logic [ TIMING_WIDTH-1:0] spi_read_half,
    input  logic [ TIMING_WIDTH-1:0] spi_cs_setup,
    input  logic [ TIMING_WIDTH-1:0] spi_cs_hold,
    input  logic [ TIMING_WIDTH-1:0] spi_cs_high,
    input  logic [ TIMING_WIDTH-1:0] sr_half,
    input  logic [ TIMING_WIDTH-1:0] sr_latch,
    input  logic [ TIMING_WIDTH-1:0] adc_half,
    input  logic [ TIMING_WIDTH-1:0] adc_window_clocks,
    input  logic [ TIMING_WIDTH-1:0] adc_low_clocks,
    input  logic [ TIMING_WIDTH-1:0] adc_clocks,
    // limits
    output logic [       N_DACS-1:0] limit_dac,
    output logic [             23:0] limit_word,
    output logic                     limit_pulse_go,
    input  logic [              7:0] frame_fault,
    input  logic                     chain_refused,
    input  logic [              7:0] pulse_fault,
    output logic                     busy,
    output logic                     make_safe,
    output logic                     refused,
    output logic [              7:0] fault,
    output logic [             15:0] fault_address,
    output logic [             15:0] result_count,
    // memories
    output logic [ADDRESS_WIDTH-1:0] program_address,
    input  logic [             31:0] program_word,
    output logic                     push,
    output logic [             31:0] push_word,
    // pins
    output logic [       N_DACS-1:0] dac_cs_n,
    output logic [       N_DACS-1:0] dac_sclk,
    output logic [       N_DACS-1:0] dac_sdi,
    input  logic [       N_DACS-1:0] dac_sdo,
    output logic                     sr_ser,
    output logic                     sr_srclk,
    output logic                     sr_rclk,
    output logic                     sr_oe_n,
    output logic                     gate,
    output logic [       N_ADCS-1:0] adc_cs_n,
    output logic [       N_ADCS-1:0] adc_dclock,
    input  logic [       N_ADCS-1:0] adc_dout,
    // for observers
    output logic                     spi_capture,
    output logic                     pulsing
);
  typedef enum logic [3:0] {
    IDLE,
    FETCH,
    HEADER,
    FRAMES,
    CHAIN,
    SPI,
    ANSWERS,
    SHIFTING,
    WAITING,
    PULSING,
    WINDOW,
    CONVERTING,
    CODES,
    SAFE_WAIT,
    SAFE_FRAME
  } state_t;
  state_t state  /* verilator public_flat_rd */;
  state_t state_next;

  // -- the word and what it is part of ----------------------------------------------------------------------------
  logic [15:0] pc, pc_next, head_pc;
  logic streaming, stream_start, stream_done;
  logic [31:0] stream_word, word;
  logic [7:0] opcode;  // of the instruction that `word` belongs to
  logic [7:0] opcode_held;
  logic [2:0] header_index;
  logic take, head;
  logic failed;
  logic [7:0] reason;

  assign take = state == FETCH || state == HEADER || state == FRAMES || state == CHAIN;
  assign head = state == FETCH;
  assign word = streaming ? stream_word : program_word;
  assign opcode = head ? word[31:24] : opcode_held;

  // -- operands -------------------------------------------------------------------------------------------------------
  logic [N_DACS-1:0] dac_mask, dacs_left, dac_lowest;
  logic crc;
  logic [7:0] sr_bits;
  logic [2:0] chain_index, chain_last;
  logic [55:0] wait_left  /* verilator public_flat_rw */;
  logic [23:0] wait_high;
  logic [N_ADCS-1:0] adc_mask, adcs_left, adc_first, adcs_after_first, adc_second, adcs_after_second;
  logic sampling;
  logic [15:0] stream_count;
  logic [31:0] stream_settle, stream_mux_settle, stream_adc_mask;
  logic [N_DACS-1:0] stream_dac_mask;
  logic [23:0] stream_ldac_frame;
  logic stream_crc, stream_wide, stream_is_mvm;
  logic [3:0] stream_positions, stream_dacs;
  logic [7:0] stream_sr_bits;
  logic [3:0] stream_sr_words;
  logic [15:0] head_words;
  logic [15:0] payload;
  logic [31:0] payload_end;
  logic [ADDRESS_WIDTH-1:0] stream_address;

  function automatic logic [3:0] ones(logic [N_DACS-1:0] mask);
    ones = '0;
    for (int i = 0; i < N_DACS; i++) ones = ones + {3'b0, mask[i]};
  endfunction

  assign dac_lowest = dacs_left & (~dacs_left + 1'b1);
  assign adc_first = adcs_left & (~adcs_left + 1'b1);
  assign adcs_after_first = adcs_left & ~adc_first;
  assign adc_second = adcs_after_first & (~adcs_after_first + 1'b1);
  assign adcs_after_second = adcs_after_first & ~adc_second;

  // Where the payload of a stream ends; settled before the header does.
  assign head_words = stream_is_mvm ? {8'b0, stream_positions * {4'b0, stream_sr_words}} : stream_count;
  assign payload = head_pc + (stream_is_mvm ? 16'd6 : 16'd4);
  assign payload_end = {16'b0, payload} + {16'b0, head_words}
      + {16'b0, stream_count} * (stream_wide ? {25'b0, stream_dacs, 3'b0} : {26'b0, stream_dacs, 2'b0});

  // Bits of a chain word that its length leaves out.
  logic [31:0] chain_stray;
  assign chain_last = 3'((sr_bits - 8'd1) >> 5);
  assign chain_stray = (chain_index == chain_last && sr_bits[4:0] != 0) ? word >> sr_bits[4:0] : 32'b0;

  // -- peripherals ----------------------------------------------------------------------------------------------------
  logic [N_DACS-1:0] spi_load, spi_mask;
  logic spi_go, spi_busy, spi_last, spi_crc, spi_read;
  logic [31:0] spi_answer[N_DACS];
  logic [23:0] spi_frame;
  logic chain_load, chain_go, chain_over;
  logic adc_go, window_last, conversion_over;
  logic [13:0] adc_code[N_ADCS];
  logic gate_hold, pulse_go, pulse_last;
  logic safe_fire;
  logic [31:0] safe_wait_first;
  logic [4:0] safe_index, safe_index_now;

  spi_master spi (
      .clk,
      .rst,
      .write_half(spi_write_half),
      .read_half(spi_read_half),
      .cs_setup(spi_cs_setup),
      .cs_hold(spi_cs_hold),
      .cs_high(spi_cs_high),
      .load(spi_load),
      .frame(spi_frame),
      .go(spi_go),
      .mask(spi_mask),
      .crc(spi_crc),
      .read(spi_read),
      .abort(make_safe),
      .busy(spi_busy),
      .last(spi_last),
      .capture(spi_capture),
      .answer(spi_answer),
      .cs_n(dac_cs_n),
      .sclk(dac_sclk),
      .sdi(dac_sdi),
      .sdo(dac_sdo)
  );

  chain_shifter shifter (
      .clk,
      .rst,
      .half(sr_half),
      .latch(sr_latch),
      .load(chain_load),
      .load_index(chain_index),
      .load_word(word),
      .go(chain_go),
      .bits(sr_bits),
      .abort(make_safe),
      .last(chain_over),
      .ser(sr_ser),
      .srclk(sr_srclk),
      .rclk(sr_rclk)
  );

  adc_frontend adc (
      .clk,
      .rst,
      .half(adc_half),
      .window_clocks(adc_window_clocks),
      .low_clocks(adc_low_clocks),
      .clocks(adc_clocks),
      .go(adc_go),
      .mask(word),
      .abort(make_safe),
      .window_last,
      .over(conversion_over),
      .code(adc_code),
      .cs_n(adc_cs_n),
      .dclock(adc_dclock),
      .dout(adc_dout)
  );

  pulse_gate pulse (
      .clk,
      .rst,
      .hold(gate_hold),
      .connect(word[GATE_CONNECT_LSB]),
      .go(pulse_go),
      .width(word[PULSE_WIDTH_LSB+:PULSE_WIDTH_WIDTH]),
      .abort(make_safe),
      .last(pulse_last),
      .pulsing,
      .gate
  );

  stream_expander #(
      .ADDRESS_WIDTH(ADDRESS_WIDTH)
  ) expander (
      .clk,
      .start(stream_start),
      .take(take && streaming),
      .is_mvm(stream_is_mvm),
      .dac_mask(stream_dac_mask),
      .n_dacs(stream_dacs),
      .crc(stream_crc),
      .wide(stream_wide),
      .count(stream_count),
      .settle(stream_settle),
      .ldac_frame(stream_ldac_frame),
      .n_positions(stream_positions),
      .sr_bits(stream_sr_bits),
      .sr_words(stream_sr_words),
      .adc_mask(stream_adc_mask),
      .mux_settle(stream_mux_settle),
      .head(ADDRESS_WIDTH'(payload)),
      .codes(ADDRESS_WIDTH'(payload + head_words)),
      .address(stream_address),
      .memory_word(program_word),
      .word(stream_word),
      .done(stream_done)
  );

  assign limit_dac = dac_lowest;
  assign limit_word = word[23:0];
  assign limit_pulse_go = pulse_go;

  // -- what a state does ----------------------------------------------------------------------------------------------
  logic stray, past_end, header_ends, stays_streaming;
  logic [2:0] header_now, header_last;
  logic spi_from_word, pushes;
  logic [N_DACS-1:0] head_dacs;

  assign head_dacs = word[SPI_WRITE_DAC_MASK_LSB+:SPI_WRITE_DAC_MASK_WIDTH];
  assign header_now = head ? 3'd0 : header_index;
  assign header_ends = header_now == header_last;
  assign stray = (word & reserved_bits(opcode, header_now)) != 0;
  assign past_end = !streaming && pc >= program_length;

  always_comb begin
    case (opcode)
      OP_WAIT, OP_SAMPLE: header_last = 3'd1;
      OP_MVM: header_last = 3'd5;
      OP_PULSES: header_last = 3'd3;
      default: header_last = 3'd0;
    endcase
  end

  always_comb begin
    state_next = state;
    reason = FAULT_NONE;
    pc_next = (take && !streaming) ? pc + 1'b1 : pc;
    stream_start = 1'b0;
    spi_from_word = 1'b0;
    chain_load = 1'b0;
    chain_go = 1'b0;
    adc_go = 1'b0;
    gate_hold = 1'b0;
    pulse_go = 1'b0;
    pushes = 1'b0;
    push_word = '0;
    case (state)
      IDLE: if (start) state_next = FETCH;
      FETCH: begin
        state_next = FETCH;
        if (past_end) reason = FAULT_CUT_SHORT;
        else if (stray) reason = reserved_bits(opcode, 3'd0) >> 24 != 0 ? FAULT_OPCODE : FAULT_RESERVED;
        else
          case (opcode)
            OP_NOP: ;
            OP_END: begin
              state_next = IDLE;
              if (sampling) reason = FAULT_SAMPLING;
              else if (pc_next != program_length) reason = FAULT_AFTER_END;
            end
            OP_WAIT: state_next = HEADER;
            OP_SPI_WRITE, OP_SPI_READ: begin
              spi_from_word = head_dacs == 0;
              state_next = head_dacs == 0 ? SPI : FRAMES;
              if ((head_dacs & ~dac_present) != 0) reason = FAULT_NO_CHIP;
            end
            OP_SHIFT: begin
              state_next = CHAIN;
              if (word[SHIFT_BITS_LSB+:SHIFT_BITS_WIDTH] == 0) reason = FAULT_CHAIN;
              else if (chain_refused) reason = FAULT_LIMIT_CHAIN;
            end
            OP_OUTPUT_ENABLE: ;
            OP_GATE: gate_hold = 1'b1;
            OP_PULSE: begin
              state_next = PULSING;
              if (word[PULSE_WIDTH_LSB+:PULSE_WIDTH_WIDTH] == 0) reason = FAULT_WIDTH;
              else if (gate) reason = FAULT_CONNECTED;
              else if (pulse_fault != FAULT_NONE) reason = pulse_fault;
              else pulse_go = 1'b1;
            end
            OP_SAMPLE: begin
              state_next = HEADER;
              if (sampling) reason = FAULT_SAMPLING;
            end
            OP_COLLECT: begin
              if (!sampling) reason = FAULT_NO_SAMPLE;
              else if (!conversion_over) state_next = CONVERTING;
              else if (adc_mask != 0) state_next = CODES;
            end
            default: begin  // MVM, PULSES
              state_next = HEADER;
              if (sampling) reason = FAULT_SAMPLING;
              else if (opcode == OP_MVM) begin
                if (word[MVM_N_POSITIONS_LSB+:MVM_N_POSITIONS_WIDTH] == 0) reason = FAULT_POSITIONS;
                else if (word[MVM_SR_BITS_LSB+:MVM_SR_BITS_WIDTH] == 0) reason = FAULT_CHAIN;
              end
            end
          endcase
      end
      HEADER: begin
        if (past_end) reason = FAULT_CUT_SHORT;
        else if (stray) reason = FAULT_RESERVED;
        else if (header_ends)
          case (opcode)
            OP_WAIT: state_next = {wait_high, word} == 0 ? FETCH : WAITING;
            OP_SAMPLE: begin
              state_next = WINDOW;
              if ((word & ~adc_present) != 0) reason = FAULT_NO_CHIP;
              else adc_go = 1'b1;
            end
            default: begin  // MVM, PULSES
              state_next = FETCH;
              pc_next = payload_end[15:0];
              stream_start = stream_count != 0;
              if (payload_end > {16'b0, program_length}) reason = FAULT_CUT_SHORT;
            end
          endcase
      end
      FRAMES: begin
        if (past_end) reason = FAULT_CUT_SHORT;
        else if (word[31:24] != 0) reason = FAULT_FRAME;
        else if (frame_fault != FAULT_NONE) reason = frame_fault;
        else if (dacs_left == dac_lowest) begin
          spi_from_word = 1'b1;
          state_next = SPI;
        end
      end
      CHAIN: begin
        chain_load = 1'b1;
        if (past_end) reason = FAULT_CUT_SHORT;
        else if (chain_stray != 0) reason = FAULT_CHAIN;
        else if (chain_index == chain_last) begin
          chain_go = 1'b1;
          state_next = SHIFTING;
        end
      end
      SPI: if (spi_last) state_next = opcode_held == OP_SPI_READ && dac_mask != 0 ? ANSWERS : FETCH;
      ANSWERS: begin
        pushes = 1'b1;
        for (int d = 0; d < N_DACS; d++) push_word = push_word | ({32{dac_lowest[d]}} & spi_answer[d]);
        if (dacs_left == dac_lowest) state_next = FETCH;
      end
      SHIFTING: if (chain_over) state_next = FETCH;
      WAITING: if (wait_left == 1) state_next = FETCH;
      PULSING: if (pulse_last) state_next = FETCH;
      WINDOW: if (window_last) state_next = FETCH;
      CONVERTING: if (conversion_over) state_next = adc_mask != 0 ? CODES : FETCH;
      CODES: begin
        pushes = 1'b1;
        for (int a = 0; a < N_ADCS; a++) begin
          push_word[15:0] = push_word[15:0] | ({16{adc_first[a]}} & {{2{adc_code[a][13]}}, adc_code[a]});
          push_word[31:16] = push_word[31:16] | ({16{adc_second[a]}} & {{2{adc_code[a][13]}}, adc_code[a]});
        end
        if (adcs_after_second == 0) state_next = FETCH;
      end
      SAFE_WAIT: if (wait_left == 1) state_next = safe_fire ? SAFE_FRAME : IDLE;
      SAFE_FRAME: if (spi_last && !safe_fire) state_next = IDLE;
      default: state_next = IDLE;
    endcase
    if (pushes && result_count == result_size) reason = FAULT_RESULTS_FULL;
  end

  // -- making safe ----------------------------------------------------------------------------------------------------
  // A frame that is cut short leaves its chip select high for as long as it must be.
  assign failed = reason != FAULT_NONE;
  assign make_safe = safe || failed;
  assign refused = failed || (safe && safe_reason != FAULT_NONE);
  assign safe_wait_first = safe_wait + (spi_busy ? 32'(spi_cs_high) : 32'd0);
  assign safe_index_now = make_safe ? 5'd0 : safe_index;
  always_comb begin
    safe_fire = safe_index_now != safe_count;
    if (make_safe) safe_fire = safe_fire && safe_wait_first == 0;
    else safe_fire = safe_fire && ((state == SAFE_WAIT && wait_left == 1) || (state == SAFE_FRAME && spi_last));
  end

  assign spi_go = make_safe ? safe_fire : spi_from_word || safe_fire;
  assign spi_mask = safe_fire ? dac_present : head ? head_dacs : dac_mask;
  assign spi_load = safe_fire ? dac_present : state == FRAMES ? dac_lowest : '0;
  assign spi_frame = safe_fire ? safe_frame[safe_index_now[3:0]] : word[23:0];
  assign spi_crc = !safe_fire && (head ? word[SPI_WRITE_CRC_LSB] : crc);
  assign spi_read = !safe_fire && opcode == OP_SPI_READ;

  assign push = pushes && !make_safe;

  // -- registers ------------------------------------------------------------------------------------------------------
  assign busy = state != IDLE;
  assign stays_streaming = stream_start || (streaming && !(take && stream_done));
  assign program_address = stays_streaming ? stream_address : ADDRESS_WIDTH'(pc_next);

  always_ff @(posedge clk) begin
    state <= state_next;
    if (make_safe) state <= safe_wait_first != 0 ? SAFE_WAIT : safe_fire ? SAFE_FRAME : IDLE;
    pc <= state == IDLE ? '0 : pc_next;
    streaming <= stays_streaming && !make_safe;
    if (push) result_count <= result_count + 1'b1;
    if (state == IDLE && start) begin
      fault <= FAULT_NONE;
      result_count <= '0;
      sampling <= 1'b0;
    end

    // Operands of the word at hand
    if (take) begin
      opcode_held <= opcode;
      header_index <= header_now + 1'b1;
    end
    if (head) begin
      if (!streaming) head_pc <= pc;
      dac_mask <= head_dacs;
      dacs_left <= head_dacs;
      crc <= word[SPI_WRITE_CRC_LSB];
      sr_bits <= word[SHIFT_BITS_LSB+:SHIFT_BITS_WIDTH];
      chain_index <= '0;
      wait_high <= word[WAIT_HIGH_LSB+:WAIT_HIGH_WIDTH];
      if (opcode == OP_OUTPUT_ENABLE) sr_oe_n <= !word[OUTPUT_ENABLE_ENABLE_LSB];
      if (opcode == OP_COLLECT) begin
        sampling  <= 1'b0;
        adcs_left <= adc_mask;
      end
      if (!streaming && (opcode == OP_MVM || opcode == OP_PULSES)) begin
        stream_is_mvm <= opcode == OP_MVM;
        stream_dac_mask <= word[MVM_DAC_MASK_LSB+:MVM_DAC_MASK_WIDTH];
        stream_dacs <= ones(word[MVM_DAC_MASK_LSB+:MVM_DAC_MASK_WIDTH]);
        stream_crc <= word[MVM_CRC_LSB];
        stream_wide <= word[MVM_WIDE_LSB];
        stream_positions <= word[MVM_N_POSITIONS_LSB+:MVM_N_POSITIONS_WIDTH];
        stream_sr_bits <= word[MVM_SR_BITS_LSB+:MVM_SR_BITS_WIDTH];
        stream_sr_words <= {1'b0, 3'((word[MVM_SR_BITS_LSB+:MVM_SR_BITS_WIDTH] - 8'd1) >> 5)} + 4'd1;
      end
    end
    if (state == HEADER && !streaming)
      case (header_index)
        3'd1: stream_count <= word[MVM_COUNT_LSB+:MVM_COUNT_WIDTH];
        3'd2: stream_settle <= word;
        3'd3: stream_ldac_frame <= word[MVM_LDAC_FRAME_LSB+:MVM_LDAC_FRAME_WIDTH];
        3'd4: stream_adc_mask <= word;
        default: stream_mux_settle <= word;
      endcase
    if (state == HEADER) wait_left <= {wait_high, word};
    if (adc_go) begin
      sampling <= 1'b1;
      adc_mask <= word;
    end
    if (state == FRAMES) dacs_left <= dacs_left == dac_lowest ? dac_mask : dacs_left & ~dac_lowest;
    if (state == CHAIN) chain_index <= chain_index + 1'b1;
    if (state == ANSWERS) dacs_left <= dacs_left & ~dac_lowest;
    if (state == CODES) adcs_left <= adcs_after_second;
    if (state == WAITING || state == SAFE_WAIT) wait_left <= wait_left - 1'b1;

    if (safe_fire) safe_index <= safe_index_now + 1'b1;
    if (make_safe) begin
      sr_oe_n  <= 1'b1;
      sampling <= 1'b0;
      wait_left <= {24'b0, safe_wait_first};
      if (!safe_fire) safe_index <= '0;
      if (failed) begin
        fault <= reason;
        fault_address <= streaming || pushes ? head_pc : pc;
      end else if (safe_reason != FAULT_NONE) begin
        fault <= safe_reason;
        fault_address <= busy ? head_pc : '0;
      end
    end
    if (rst) begin
      state <= IDLE;
      pc <= '0;
      streaming <= 1'b0;
      sampling <= 1'b0;
      sr_oe_n <= 1'b1;
      fault <= FAULT_NONE;
      fault_address <= '0;
      result_count <= '0;
    end
  end
endmodule
