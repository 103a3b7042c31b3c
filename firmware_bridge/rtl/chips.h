// The chips at the gateware's pins.
//
// The models know pins only: they recover frames, chain words and conversions from edges, and report each to the host
// when it is complete (a frame when CS rises, a conversion when its window closes). The host's callbacks answer with what
// the chips show next. A callback that returns non-zero is a refusal.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>

#include "Vxbar_top.h"
#include "Vxbar_top___024root.h"

constexpr int N_DACS = 8, N_ADCS = 32, CHAIN_WORDS = 8, SAMPLE_CLOCKS = 5, ADC_BITS = 14;

// Shared with the host; its layout is `_Shared` in rtl_model.py.
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

class Chips {
   public:
    // Takes the pins as they are, without events.
    Chips(Vxbar_top* top, Shared* shared, const Callbacks& callbacks) : top_(top), shared_(shared), on_(callbacks) {
        cs_n_ = top_->dac_cs_n;
        sclk_ = top_->dac_sclk;
        srclk_ = top_->sr_srclk;
        rclk_ = top_->sr_rclk;
        oe_n_ = top_->sr_oe_n;
        gate_ = gate();
        adc_cs_n_ = top_->adc_cs_n;
        dclock_ = top_->adc_dclock;
    }

    uint64_t cycles() const { return top_->rootp->xbar_top__DOT__core__DOT__cycles; }
    bool gate() const { return !top_->bl_inh; }

    // Whether a callback has refused something since it was last forgotten.
    bool refused() const { return refused_; }
    void forget() { refused_ = false; }

    // Look at the pins after a rising edge of the clock, and answer.
    void look() {
        if (gate() != gate_ || top_->sr_oe_n != oe_n_) levels();
        if (top_->dac_cs_n != cs_n_ || top_->dac_sclk != sclk_) spi();
        if (top_->sr_srclk != srclk_ || top_->sr_rclk != rclk_) chain();
        if (top_->adc_cs_n != adc_cs_n_ || top_->adc_dclock != dclock_) adcs();
    }

   private:
    void report(int refused) { refused_ = refused_ || refused != 0; }

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

    Vxbar_top* top_;
    Shared* shared_;
    Callbacks on_;
    bool refused_ = false;
    Dac dacs_[N_DACS];
    Adc adcs_[N_ADCS];
    uint32_t cs_n_ = 0, sclk_ = 0, adc_cs_n_ = 0, dclock_ = 0;
    bool srclk_ = false, rclk_ = false, oe_n_ = true, gate_ = false, pulse_ = false;
    uint64_t pulse_began_ = 0, srclk_rose_ = 0, srclk_fell_ = 0, dclock_rose_ = 0, dclock_fell_ = 0;
    uint32_t chain_bits_ = 0;
    Interval chain_high_, chain_low_, adc_high_, adc_low_;
};
