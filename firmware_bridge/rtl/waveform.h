// The pins as a Value Change Dump (IEEE 1364, clause 18): one-bit wires, a line for each change.
#pragma once
#include <array>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

class Waveform {
   public:
    // Words of pins, one bit for each chip: DAC CS, SCLK, SDI, SDO; ADC CS, DCLOCK, DOUT; the chain and the gate.
    using Pins = std::array<uint32_t, 8>;

    Waveform(const char* path, double period_ns, int n_dacs, int n_adcs)
        : file_(std::fopen(path, "w")), period_ns_(period_ns) {
        if (!file_) return;
        buffer_.resize(1 << 20);
        std::setvbuf(file_, buffer_.data(), _IOFBF, buffer_.size());
        std::fputs("$timescale 1ns $end\n$scope module board $end\n", file_);
        for (int d = 0; d < n_dacs; ++d)
            for (int p = 0; p < 4; ++p) declare(p, d, "dac" + std::to_string(d) + "_" + DAC[p]);
        for (int p = 0; p < 5; ++p) declare(7, p, CHAIN[p]);
        for (int a = 0; a < n_adcs; ++a)
            for (int p = 0; p < 3; ++p) declare(4 + p, a, "adc" + std::to_string(a) + "_" + ADC[p]);
        std::fputs("$upscope $end\n$enddefinitions $end\n", file_);
    }
    ~Waveform() {
        if (file_) std::fclose(file_);
    }
    Waveform(const Waveform&) = delete;
    Waveform& operator=(const Waveform&) = delete;

    bool open() const { return file_ != nullptr; }

    // The last change is over too. False if not everything could be written.
    bool close(uint64_t cycle) {
        stamp(cycle);
        const bool broken = std::ferror(file_) != 0;
        const bool closed = std::fclose(file_) == 0;
        file_ = nullptr;
        return closed && !broken;
    }

    void set(const Pins& pins, uint64_t cycle) {
        for (size_t w = 0; w < pins.size(); ++w) {
            uint32_t changed = (begun_ ? pins[w] ^ last_[w] : ~0u) & declared_[w];
            if (!changed) continue;
            stamp(cycle);
            for (; changed; changed &= changed - 1) {
                const int bit = __builtin_ctz(changed);
                std::fprintf(file_, "%u%s\n", pins[w] >> bit & 1, id_[w][bit].c_str());
            }
        }
        last_ = pins;
        begun_ = true;
    }

   private:
    static constexpr const char *DAC[] = {"cs_n", "sclk", "sdi", "sdo"}, *ADC[] = {"cs_n", "dclock", "dout"},
                                *CHAIN[] = {"sr_ser", "sr_srclk", "sr_rclk", "sr_oe_n", "gate"};

    void declare(int word, int bit, const std::string& name) {
        std::string id;
        for (int i = n_++;; i /= 94) {
            id += static_cast<char>('!' + i % 94);
            if (i < 94) break;
        }
        std::fprintf(file_, "$var wire 1 %s %s $end\n", id.c_str(), name.c_str());
        id_[word][bit] = id;
        declared_[word] |= 1u << bit;
    }

    void stamp(uint64_t cycle) {
        const auto now = static_cast<long long>(static_cast<double>(cycle) * period_ns_ + 0.5);
        if (now != now_) std::fprintf(file_, "#%lld\n", now);
        now_ = now;
    }

    std::FILE* file_;
    std::vector<char> buffer_;
    double period_ns_;
    std::array<std::array<std::string, 32>, 8> id_;
    Pins last_{}, declared_{};
    int n_ = 0;
    long long now_ = -1;
    bool begun_ = false;
};
