// Cycles of a WAIT in which nothing at the pins can move, passed over by setting the counters that run meanwhile to
// where ticking would have brought them. Every counter that runs while the sequencer waits must be in here.
#pragma once
#include <algorithm>
#include <cstdint>

#include "Vxbar_top.h"
#include "Vxbar_top___024root.h"

// States of sequencer.sv.
constexpr int WAITING = 8, SAFE_WAIT = 13;

// Cycles that may go by before the host should look at the gateware again, well before the watchdog bites.
inline uint64_t longest_silence(const Vxbar_top& top) {
    const uint32_t patience = top.rootp->xbar_top__DOT__core__DOT__dog__DOT__patience;
    return patience ? std::max<uint64_t>(patience / 2, 1) : 1'000'000'000;
}

// Passes over `most` cycles at most; returns how many, 0 if something moves or the wait is about to end.
inline uint64_t skip_wait(Vxbar_top& top, uint64_t most) {
    auto& root = *top.rootp;
    auto& left = root.xbar_top__DOT__core__DOT__sequencer__DOT__wait_left;
    const int state = root.xbar_top__DOT__core__DOT__sequencer__DOT__state;
    if ((state != WAITING && state != SAFE_WAIT) || left < 3 || root.xbar_top__DOT__core__DOT__sequencer__DOT__adc__DOT__running)
        return 0;
    uint64_t n = std::min<uint64_t>(left - 2, most);
    // The watchdog bites in a cycle of its own.
    auto& silent = root.xbar_top__DOT__core__DOT__dog__DOT__silent;
    const uint32_t patience = root.xbar_top__DOT__core__DOT__dog__DOT__patience;
    if (root.xbar_top__DOT__core__DOT__dog__DOT__watching) {
        if (patience) n = std::min<uint64_t>(n, patience > silent + 2 ? patience - silent - 2 : 0);
        silent += static_cast<uint32_t>(n);
    }
    left -= n;
    root.xbar_top__DOT__core__DOT__cycles += n;
    auto& since_pulse = root.xbar_top__DOT__core__DOT__limits__DOT__since_pulse;
    since_pulse = static_cast<uint32_t>(std::min<uint64_t>(since_pulse + n, UINT32_MAX));
    return n;
}
