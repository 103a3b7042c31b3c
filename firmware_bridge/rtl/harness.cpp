// The Verilated gateware with the chips at its pins, behind a C interface.
//
// The chip models know pins only: they recover frames, chain words and conversions from edges, and report each to the
// host when it is complete (a frame when CS rises, a conversion when its window closes). The host's callbacks answer
// with what the chips show next. A callback that returns non-zero stops the run.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>

#include "Vxbar_top.h"
#include "Vxbar_top___024root.h"
#include "axi.hpp"
#include "skip.h"
#include "verilated.h"
#include "waveform.h"

namespace {

constexpr int N_DACS = 8, N_ADCS = 32, CHAIN_WORDS = 8, SAMPLE_CLOCKS = 5, ADC_BITS = 14;

// Shared with the host; its layout is `Shared` in rtl_bridge.py.
struct Shared {
    uint32_t frame[N_DACS][8];   // word, bits, setup, high, low, hold, gap (cycles), SDO captured
    uint32_t sdo[N_DACS];        // what each DAC shifts out in the next frame, left-aligned
    uint32_t chain[CHAIN_WORDS]; // word on the way into the chain, lowest bits first
    uint32_t chain_timing[4];    // bits, SRCLK high, low, last SRCLK fall to RCLK rise
    uint32_t adc_timing[2];      // DCLOCK high, low
    int32_t code[N_ADCS];        // answer to a sample
    uint64_t ticks;              // clock cycles simulated, idle ones included
};

using OnFrames = int (*)(uint32_t mask, uint64_t cycle);
using OnLatch = int (*)(uint64_t cycle);
using OnLevel = int (*)(int level, uint64_t cycle);
using OnPulse = int (*)(uint64_t width, uint64_t cycle);
using OnSample = int (*)(uint32_t mask, uint64_t start, uint64_t cycle);

struct Callbacks {
    OnFrames frames;
    OnLatch latch;
    OnLevel output_enable_n;
    OnLevel gate;
    OnPulse pulse;
    OnSample sample;
};

// Shortest of the intervals of a frame; one that differs shows up as a wrong minimum or, through `uneven`, as 0.
struct Interval {
    uint32_t value = 0;
    void add(uint64_t cycles) {
        const auto c = static_cast<uint32_t>(cycles);
        if (value == 0) value = c;
        else if (value != c) uneven = true;
    }
    uint32_t take() {
        const uint32_t v = uneven ? 0 : value;
        *this = {};
        return v;
    }
    bool uneven = false;
};

struct Dac {
    uint32_t word = 0, bits = 0, shifting = 0;
    uint64_t cs_fell = 0, cs_rose = 0, sclk_rose = 0, sclk_fell = 0;
    uint32_t setup = 0, gap = 0;
    Interval high, low;
    bool capture = false;
};

struct Adc {
    uint32_t clocks = 0;
    uint64_t cs_fell = 0;
    int32_t code = 0;
};

class Board {
   public:
    Board(Shared* shared, const Callbacks& callbacks) : shared_(shared), on_(callbacks) {
        context_->threads(1);
        top_ = std::make_unique<Vxbar_top>(context_.get());
        top_->aresetn = 0;
        top_->adc_dout = ~0u;
        for (int i = 0; i < 4; ++i) clock();
        top_->aresetn = 1;
        clock();
        resync();
    }
    ~Board() {
        // Names of public signals are struck off in the thread's context, which is that of the last model made.
        Verilated::threadContextp(context_.get());
        top_->final();
        top_.reset();
    }

    // Take the pins as they are, without events: after the board was power-cycled.
    void resync() {
        cs_n_ = top_->dac_cs_n;
        sclk_ = top_->dac_sclk;
        srclk_ = top_->sr_srclk;
        rclk_ = top_->sr_rclk;
        oe_n_ = top_->sr_oe_n;
        gate_ = gate();
        adc_cs_n_ = top_->adc_cs_n;
        dclock_ = top_->adc_dclock;
        chain_bits_ = 0;
        stopped_ = false;
    }

    // Accesses of the host, by byte address; 2 if a callback has refused something meanwhile.
    int write(uint32_t address, uint32_t word, uint32_t strobes, Order order) {
        stopped_ = false;
        axi_write(*top_, address, word, strobes, order, [this] { tick(); });
        return stopped_ ? 2 : 0;
    }

    int read(uint32_t address, uint32_t* word) {
        stopped_ = false;
        *word = axi_read(*top_, address, [this] { tick(); });
        return stopped_ ? 2 : 0;
    }

    // At most so many cycles while the gateware is busy: 0 it is idle, 1 still busy, 2 a callback has refused.
    int run(uint64_t most) {
        stopped_ = false;
        for (uint64_t i = 0; i < most; ++i) {
            if (!busy()) return 0;
            if (skips_) i += skip_wait(*top_, most - i - 1);
            tick();
            if (stopped_) return 2;
        }
        return busy() ? 1 : 0;
    }

    // So many cycles in which the host does nothing.
    int pass(uint64_t cycles) {
        stopped_ = false;
        for (uint64_t i = 0; i < cycles && !stopped_; ++i) tick();
        return stopped_ ? 2 : 0;
    }

    void set_clock(uint32_t hertz) { top_->clock_hz = hertz; }
    void skip_waits(bool skips) { skips_ = skips; }
    bool irq() const { return top_->irq; }
    Memory& memory() { return memory_; }

    // Record the pins from now on; without a path, end it. Returns 0, or 1 if the file cannot be written.
    int trace(const char* path, double period_ns, int n_dacs, int n_adcs) {
        const bool failed = waveform_ && !waveform_->close(cycles());
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
    uint64_t cycles() const { return top_->rootp->xbar_top__DOT__core__DOT__cycles; }
    bool gate() const { return !top_->bl_inh; }

    void tick() {
        if (Memory::wanted(*top_)) memory_.drive(*top_);
        top_->aclk = 1;
        top_->eval();
        chips();
        if (waveform_) record();
        top_->aclk = 0;
        top_->eval();
        ++shared_->ticks;
    }

    void chips() {
        if (gate() != gate_ || top_->sr_oe_n != oe_n_) levels();
        if (top_->dac_cs_n != cs_n_ || top_->dac_sclk != sclk_) spi();
        if (top_->sr_srclk != srclk_ || top_->sr_rclk != rclk_) chain();
        if (top_->adc_cs_n != adc_cs_n_ || top_->adc_dclock != dclock_) adcs();
    }

    void report(int refused) { stopped_ = stopped_ || refused != 0; }

    void levels() {
        const uint64_t now = cycles();
        if (gate() != gate_) {
            gate_ = gate();
            if (gate_ && top_->rootp->xbar_top__DOT__core__DOT__pulsing) {
                pulse_ = true;
                pulse_began_ = now;
            } else if (!gate_ && pulse_) {
                pulse_ = false;
                report(on_.pulse(now - pulse_began_, pulse_began_));
            } else {
                report(on_.gate(gate_, now));
            }
        }
        if (top_->sr_oe_n != oe_n_) {
            oe_n_ = top_->sr_oe_n;
            report(on_.output_enable_n(oe_n_, now));
        }
    }

    void spi() {
        const uint64_t now = cycles();
        const uint32_t cs_n = top_->dac_cs_n, sclk = top_->dac_sclk, sdi = top_->dac_sdi;
        const uint32_t fell = cs_n_ & ~cs_n, rose = ~cs_n_ & cs_n;
        const uint32_t sclk_rose = sclk & ~sclk_, sclk_fell = ~sclk & sclk_;
        uint32_t sdo = top_->dac_sdo;
        for (int d = 0; d < N_DACS; ++d) {
            const uint32_t bit = 1u << d;
            if (!((fell | rose | sclk_rose | sclk_fell) & bit)) continue;
            Dac& dac = dacs_[d];
            if (fell & bit) {
                dac.gap = static_cast<uint32_t>(std::min<uint64_t>(now - dac.cs_rose, UINT32_MAX));
                dac.word = dac.bits = dac.setup = 0;
                dac.high = dac.low = {};
                dac.cs_fell = now;
                dac.shifting = shared_->sdo[d];
            }
            if (sclk_rose & bit) {
                if (dac.bits == 0) dac.setup = static_cast<uint32_t>(now - dac.cs_fell);
                else dac.low.add(now - dac.sclk_fell);
                dac.sclk_rose = now;
                sdo = (sdo & ~bit) | (dac.shifting >> 31 ? bit : 0);
                dac.shifting <<= 1;
            }
            if (sclk_fell & bit) {
                // SDI is captured before this edge; it may change only on the other one.
                dac.word = dac.word << 1 | (sdi & bit ? 1 : 0);
                ++dac.bits;
                dac.high.add(now - dac.sclk_rose);
                dac.sclk_fell = now;
                dac.capture = top_->rootp->xbar_top__DOT__core__DOT__spi_capture;
            }
            if (rose & bit) {
                dac.cs_rose = now;
                sdo &= ~bit;
                uint32_t* f = shared_->frame[d];
                f[0] = dac.word;
                f[1] = dac.bits;
                f[2] = dac.setup;
                f[3] = dac.high.take();
                f[4] = dac.low.take();
                f[5] = static_cast<uint32_t>(now - dac.sclk_fell);
                f[6] = dac.gap;
                f[7] = dac.capture;
            }
        }
        cs_n_ = cs_n;
        sclk_ = sclk;
        top_->dac_sdo = sdo;
        if (rose) report(on_.frames(rose, now));
    }

    void chain() {
        const uint64_t now = cycles();
        if (top_->sr_srclk && !srclk_) {
            uint32_t carry = top_->sr_ser;
            for (uint32_t& word : shared_->chain) {
                const uint32_t out = word >> 31;
                word = word << 1 | carry;
                carry = out;
            }
            if (chain_bits_++) chain_low_.add(now - srclk_fell_);
            srclk_rose_ = now;
        }
        if (!top_->sr_srclk && srclk_) {
            chain_high_.add(now - srclk_rose_);
            srclk_fell_ = now;
        }
        const bool latch = top_->sr_rclk && !rclk_;
        srclk_ = top_->sr_srclk;
        rclk_ = top_->sr_rclk;
        if (latch) {
            uint32_t* t = shared_->chain_timing;
            t[0] = chain_bits_;
            t[1] = chain_high_.take();
            t[2] = chain_low_.take();
            t[3] = static_cast<uint32_t>(now - srclk_fell_);
            report(on_.latch(now));
            std::memset(shared_->chain, 0, sizeof shared_->chain);
            chain_bits_ = 0;
        }
    }

    void adcs() {
        const uint64_t now = cycles();
        const uint32_t cs_n = top_->adc_cs_n, dclock = top_->adc_dclock;
        const uint32_t fell = adc_cs_n_ & ~cs_n, rose = ~adc_cs_n_ & cs_n;
        const uint32_t clock_fell = dclock_ & ~dclock & ~adc_cs_n_, clock_rose = dclock & ~dclock_ & ~cs_n;
        adc_cs_n_ = cs_n;
        dclock_ = dclock;
        uint32_t sampled = 0, dout = top_->adc_dout;
        if (fell) {
            dclock_fell_ = now;
            adc_high_ = adc_low_ = {};
        }
        if (clock_rose) {
            adc_low_.add(now - dclock_fell_);
            dclock_rose_ = now;
        }
        if (clock_fell) {
            adc_high_.add(now - dclock_rose_);
            dclock_fell_ = now;
        }
        for (int a = 0; a < N_ADCS && (fell | clock_fell | rose); ++a) {
            const uint32_t bit = 1u << a;
            Adc& adc = adcs_[a];
            if (fell & bit) {
                adc.clocks = 0;
                adc.cs_fell = now;
            }
            if (clock_fell & bit) {
                const uint32_t n = ++adc.clocks;
                if (n == SAMPLE_CLOCKS) {
                    sampled |= bit;
                    dout &= ~bit;
                } else if (n > SAMPLE_CLOCKS && n <= SAMPLE_CLOCKS + ADC_BITS) {
                    const int shift = SAMPLE_CLOCKS + ADC_BITS - static_cast<int>(n);
                    dout = (dout & ~bit) | ((adc.code >> shift & 1) ? bit : 0);
                } else if (n > SAMPLE_CLOCKS) {
                    dout &= ~bit;
                }
            }
            if (rose & bit) dout |= bit;  // Hi-Z, pulled up
        }
        top_->adc_dout = dout;
        if (sampled) {
            shared_->adc_timing[0] = adc_high_.take();
            shared_->adc_timing[1] = adc_low_.take();
            uint64_t start = 0;
            for (int a = 0; a < N_ADCS; ++a)
                if (sampled >> a & 1) start = adcs_[a].cs_fell;
            report(on_.sample(sampled, start, now));
            for (int a = 0; a < N_ADCS; ++a)
                if (sampled >> a & 1) adcs_[a].code = shared_->code[a];
        }
    }

    void record() {
        const uint32_t chain = top_->sr_ser | top_->sr_srclk << 1 | top_->sr_rclk << 2 | top_->sr_oe_n << 3 | gate() << 4;
        waveform_->set({top_->dac_cs_n, top_->dac_sclk, top_->dac_sdi, top_->dac_sdo, top_->adc_cs_n, top_->adc_dclock,
                        top_->adc_dout, chain},
                       cycles());
    }

    std::unique_ptr<VerilatedContext> context_ = std::make_unique<VerilatedContext>();
    std::unique_ptr<Vxbar_top> top_;
    Memory memory_;
    Shared* shared_;
    Callbacks on_;
    std::unique_ptr<Waveform> waveform_;
    bool stopped_ = false, skips_ = true;
    Dac dacs_[N_DACS];
    Adc adcs_[N_ADCS];
    uint32_t cs_n_ = 0, sclk_ = 0, adc_cs_n_ = 0, dclock_ = 0;
    bool srclk_ = false, rclk_ = false, oe_n_ = true, gate_ = false, pulse_ = false;
    uint64_t pulse_began_ = 0, srclk_rose_ = 0, srclk_fell_ = 0, dclock_rose_ = 0, dclock_fell_ = 0;
    uint32_t chain_bits_ = 0;
    Interval chain_high_, chain_low_, adc_high_, adc_low_;
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
