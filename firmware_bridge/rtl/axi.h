// What stands on the gateware's buses in a simulation: the host's processor, and its memory.
#pragma once

#include <cstdint>
#include <vector>

// Buffers that the master may reach, by device address. Everything else answers with a decode error; so does a burst
// that is not what the Zynq's AXI3 port takes.
class Memory {
   public:
    static constexpr uint8_t OKAY = 0, DECODE_ERROR = 3;

    void add(uint32_t base, uint32_t bytes, uint32_t* words) { buffers_.push_back({base, bytes, words}); }

    // Whatever the seed, ready and valid come late now and then; 0: never.
    void stall(uint32_t seed) { stall_ = seed; }

    // Called before a rising edge: what the memory puts on the bus for it.
    template <class Top>
    void drive(Top& top) {
        top.m_axi_arready = top.m_axi_awready = top.m_axi_wready = 0;
        if (top.m_axi_arvalid && go()) {
            top.m_axi_arready = 1;
            begin(read_, top.m_axi_araddr, top.m_axi_arlen, top.m_axi_arsize, top.m_axi_arburst);
        }
        if (top.m_axi_awvalid && go()) {
            top.m_axi_awready = 1;
            begin(write_, top.m_axi_awaddr, top.m_axi_awlen, top.m_axi_awsize, top.m_axi_awburst);
        }
        const bool reading = top.m_axi_rready && read_.left > 0 && go();
        top.m_axi_rvalid = reading;
        if (reading) {
            const uint32_t* word = at(read_);
            top.m_axi_rdata = word ? *word : 0xDEADDEADu;
            top.m_axi_rresp = word ? OKAY : DECODE_ERROR;
            top.m_axi_rlast = read_.left == 1;
            next(read_);
        }
        if (top.m_axi_wvalid && write_.left > 0 && go()) {
            top.m_axi_wready = 1;
            uint32_t* word = at(write_);
            if (word && top.m_axi_wstrb == 0xF) *word = top.m_axi_wdata;
            else write_.bad = true;
            if (top.m_axi_wlast != (write_.left == 1)) write_.bad = true;
            next(write_);
        }
        const bool answering = top.m_axi_bready && write_.left == 0 && go();
        top.m_axi_bvalid = answering;
        if (answering) top.m_axi_bresp = write_.bad ? DECODE_ERROR : OKAY;
    }

    template <class Top>
    static bool wanted(const Top& top) {
        return top.m_axi_arvalid | top.m_axi_rready | top.m_axi_awvalid | top.m_axi_wvalid | top.m_axi_bready;
    }

   private:
    struct Buffer {
        uint32_t base, bytes;
        uint32_t* words;
    };
    struct Burst {
        uint32_t address = 0, left = 0;
        bool bad = false;
    };

    bool go() {
        if (!stall_) return true;
        stall_ ^= stall_ << 13;
        stall_ ^= stall_ >> 17;
        stall_ ^= stall_ << 5;
        return stall_ & 1;
    }

    static void begin(Burst& burst, uint32_t address, uint32_t length, uint32_t size, uint32_t kind) {
        burst = {address, length + 1, false};
        const bool crosses = (address & 0xFFF) + 4 * burst.left > 0x1000;
        burst.bad = burst.left > 16 || size != 2 || kind != 1 || crosses || address % 4;
    }

    static void next(Burst& burst) {
        burst.address += 4;
        --burst.left;
    }

    uint32_t* at(const Burst& burst) const {
        if (burst.bad) return nullptr;
        for (const Buffer& b : buffers_)
            if (burst.address - b.base < b.bytes) return b.words + (burst.address - b.base) / 4;
        return nullptr;
    }

    std::vector<Buffer> buffers_;
    Burst read_, write_;
    uint32_t stall_ = 0;
};

// The order in which address and data of a write arrive.
enum class Order : int { together, address_first, data_first };

// One access of the processor; `tick` is a clock cycle.
template <class Top, class Tick>
void axi_write(Top& top, uint32_t address, uint32_t word, uint32_t strobes, Order order, Tick tick) {
    top.s_axi_awaddr = address;
    top.s_axi_wdata = word;
    top.s_axi_wstrb = strobes;
    top.s_axi_awvalid = order != Order::data_first;
    top.s_axi_wvalid = order != Order::address_first;
    bool address_taken = false, data_taken = false;
    while (!address_taken || !data_taken) {
        top.eval();
        const bool address_goes = top.s_axi_awvalid && top.s_axi_awready;
        const bool data_goes = top.s_axi_wvalid && top.s_axi_wready;
        tick();
        address_taken = address_taken || address_goes;
        data_taken = data_taken || data_goes;
        top.s_axi_awvalid = !address_taken;
        top.s_axi_wvalid = !data_taken;
    }
    top.s_axi_bready = 1;
    while (!top.s_axi_bvalid) tick();
    tick();
    top.s_axi_bready = 0;
}

template <class Top, class Tick>
uint32_t axi_read(Top& top, uint32_t address, Tick tick) {
    top.s_axi_araddr = address;
    top.s_axi_arvalid = 1;
    for (bool goes = false; !goes;) {
        top.eval();
        goes = top.s_axi_arready;
        tick();
    }
    top.s_axi_arvalid = 0;
    while (!top.s_axi_rvalid) tick();
    const uint32_t word = top.s_axi_rdata;
    top.s_axi_rready = 1;
    tick();
    top.s_axi_rready = 0;
    return word;
}
