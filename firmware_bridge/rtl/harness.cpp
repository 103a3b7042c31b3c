// The Verilated gateware with the chips at its pins, behind a C interface.
//
// A callback of the chips that refuses what it sees stops the run.
#include <cstdint>
#include <memory>

#include "Vxbar_top.h"
#include "axi.h"
#include "chips.h"
#include "skip.h"
#include "verilated.h"
#include "waveform.h"

namespace {

class Board {
   public:
    Board(Shared* shared, const Callbacks& callbacks) : shared_(shared) {
        context_->threads(1);
        top_ = std::make_unique<Vxbar_top>(context_.get());
        top_->aresetn = 0;
        top_->adc_dout = ~0u;
        for (int i = 0; i < 4; ++i) clock();
        top_->aresetn = 1;
        clock();
        chips_ = std::make_unique<Chips>(top_.get(), shared, callbacks);
    }
    ~Board() {
        // Names of public signals are struck off in the thread's context, which is that of the last model made.
        Verilated::threadContextp(context_.get());
        top_->final();
        top_.reset();
    }

    // Accesses of the host, by byte address; 2 if a callback has refused something meanwhile.
    int write(uint32_t address, uint32_t word, uint32_t strobes, Order order) {
        chips_->forget();
        axi_write(*top_, address, word, strobes, order, [this] { tick(); });
        return chips_->refused() ? 2 : 0;
    }

    int read(uint32_t address, uint32_t* word) {
        chips_->forget();
        *word = axi_read(*top_, address, [this] { tick(); });
        return chips_->refused() ? 2 : 0;
    }

    // At most so many ticks while the gateware is busy, and no longer than a host that waits may be silent: 0 it is idle, 1
    // still busy, 2 a callback has refused.
    int run(uint64_t most) {
        chips_->forget();
        const uint64_t silence = longest_silence(*top_);
        uint64_t passed = 0;
        for (uint64_t i = 0; i < most && i + passed < silence; ++i) {
            if (!busy()) return 0;
            if (skips_) passed += skip_wait(*top_, silence - passed - i - 1);
            tick();
            if (chips_->refused()) return 2;
        }
        return busy() ? 1 : 0;
    }

    // So many cycles in which the host does nothing.
    int pass(uint64_t cycles) {
        chips_->forget();
        for (uint64_t i = 0; i < cycles && !chips_->refused(); ++i) {
            if (skips_) i += skip_wait(*top_, cycles - i - 1);
            tick();
        }
        return chips_->refused() ? 2 : 0;
    }

    void set_clock(uint32_t hertz) { top_->clock_hz = hertz; }
    void skip_waits(bool skips) { skips_ = skips; }
    bool irq() const { return top_->irq; }
    Memory& memory() { return memory_; }

    // Record the pins from now on; without a path, end it. Returns 0, or 1 if the file cannot be written.
    int trace(const char* path, double period_ns, int n_dacs, int n_adcs) {
        const bool failed = waveform_ && !waveform_->close(chips_->cycles());
        waveform_.reset();
        if (!path) return failed;
        waveform_ = std::make_unique<Waveform>(path, period_ns, n_dacs, n_adcs);
        if (!waveform_->open()) {
            waveform_.reset();
            return 1;
        }
        record();
        return failed;
    }

   private:
    void clock() {
        top_->aclk = 1;
        top_->eval();
        top_->aclk = 0;
        top_->eval();
    }

    bool busy() const { return top_->rootp->xbar_top__DOT__core__DOT__busy; }

    void tick() {
        if (Memory::wanted(*top_)) memory_.drive(*top_);
        top_->aclk = 1;
        top_->eval();
        chips_->look();
        if (waveform_) record();
        top_->aclk = 0;
        top_->eval();
        ++shared_->ticks;
    }

    void record() {
        const uint32_t chain = top_->sr_ser | top_->sr_srclk << 1 | top_->sr_rclk << 2 | top_->sr_oe_n << 3 |
                               chips_->gate() << 4;
        waveform_->set({top_->dac_cs_n, top_->dac_sclk, top_->dac_sdi, top_->dac_sdo, top_->adc_cs_n, top_->adc_dclock,
                        top_->adc_dout, chain},
                       chips_->cycles());
    }

    std::unique_ptr<VerilatedContext> context_ = std::make_unique<VerilatedContext>();
    std::unique_ptr<Vxbar_top> top_;
    Memory memory_;
    Shared* shared_;
    std::unique_ptr<Chips> chips_;
    std::unique_ptr<Waveform> waveform_;
    bool skips_ = true;
};

}  // namespace

extern "C" {
uint64_t xb_shared_size() { return sizeof(Shared); }
Board* xb_open(Shared* shared, const Callbacks* callbacks) { return new Board(shared, *callbacks); }
void xb_close(Board* board) { delete board; }
int xb_write(Board* board, uint32_t address, uint32_t word, uint32_t strobes, int order) {
    return board->write(address, word, strobes, static_cast<Order>(order));
}
int xb_read(Board* board, uint32_t address, uint32_t* word) { return board->read(address, word); }
void xb_buffer(Board* board, uint32_t address, uint32_t bytes, uint32_t* words) {
    board->memory().add(address, bytes, words);
}
void xb_stall(Board* board, uint32_t seed) { board->memory().stall(seed); }
void xb_clock(Board* board, uint32_t hertz) { board->set_clock(hertz); }
int xb_irq(Board* board) { return board->irq(); }
int xb_pass(Board* board, uint64_t cycles) { return board->pass(cycles); }
void xb_skip_waits(Board* board, int skips) { board->skip_waits(skips); }
int xb_run(Board* board, uint64_t most) { return board->run(most); }
int xb_trace(Board* board, const char* path, double period_ns, int n_dacs, int n_adcs) {
    return board->trace(path, period_ns, n_dacs, n_adcs);
}
}
