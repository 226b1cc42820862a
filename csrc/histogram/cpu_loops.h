// CPU building blocks shared by the histogram and the histogram loss: pixels to positions (vectorised), positions to
// counts (scalar).
#pragma once

#include <algorithm>

#include "common/parallel.h"
#include "histogram/formula.h"

namespace sarcore {

inline constexpr int kBlock = 1024;  // pixels whose positions are kept in the first-level cache
inline constexpr int kSubTables =
    4;  // neighbouring pixels count into different tables: a constant image does not wait on its own stores
inline constexpr int kMaxSplitBins = 1024;
inline constexpr int kRegisterEntries =
    64;  // a slope table of so many float32 stays in vector registers where the CPU has AVX-512

// Positions of n <= kBlock pixels. A pixel counts if its mask byte is set (no mask: all) and neither it nor its partner
// y (if any) is NaN.
#define SARCORE_DECLARE_POSITIONS(T)                                                                                \
    void linear_positions(const T* x, const uint8_t* mask, int n, const Axis& axis, position_t<compute_t<T>>* out); \
    void linear_pair_positions(const T* x, const T* y, const uint8_t* mask, int n, const Axis& axis,                \
                               position_t<compute_t<T>>* out_x, position_t<compute_t<T>>* out_y);                   \
    void hard_positions(const T* x, const T* partner, const uint8_t* mask, int n, const Axis& axis,                 \
                        position_t<compute_t<T>>* out);
#define SARCORE_DECLARE_LOOKUP(T)                                                                                    \
    /* out[i] = table[slope_index(x[i])] for n <= kBlock pixels; the table has axis.bins entries, padded to at least \
     * kRegisterEntries. */                                                                                          \
    void lookup_slopes(const T* x, int n, const Axis& axis, const compute_t<T>* table, compute_t<T>* out);
SARCORE_DECLARE_LOOKUP(Half)
SARCORE_DECLARE_LOOKUP(BFloat16)
SARCORE_DECLARE_LOOKUP(float)
SARCORE_DECLARE_LOOKUP(double)
#undef SARCORE_DECLARE_LOOKUP
SARCORE_DECLARE_POSITIONS(uint8_t)
SARCORE_DECLARE_POSITIONS(uint16_t)
SARCORE_DECLARE_POSITIONS(Half)
SARCORE_DECLARE_POSITIONS(BFloat16)
SARCORE_DECLARE_POSITIONS(float)
SARCORE_DECLARE_POSITIONS(double)
#undef SARCORE_DECLARE_POSITIONS

// Counts and fraction sums of one CPU task (at most kChunk * kChunksPerTask pixels). float: both in one 64-bit word,
// one addition per pixel.
template <typename F>
struct Tally;

template <>
struct Tally<float> {
    uint64_t cells[(kMaxSplitBins + 1) * kSubTables];
    int stride, tables;

    explicit Tally(int bins) : stride(bins + 1), tables(bins <= kMaxSplitBins ? kSubTables : 1) {
        std::fill(cells, cells + static_cast<size_t>(stride) * tables, uint64_t{0});
    }
    void add(const uint32_t* positions, int n) {
        uint64_t* const t0 = cells;
        uint64_t* const t1 = cells + (tables > 1 ? stride : 0);
        uint64_t* const t2 = cells + (tables > 1 ? 2 * stride : 0);
        uint64_t* const t3 = cells + (tables > 1 ? 3 * stride : 0);
        constexpr uint64_t one = uint64_t{1} << 32;
        int i = 0;
        for (; i + 4 <= n; i += 4) {
            const uint32_t a = positions[i], b = positions[i + 1], c = positions[i + 2], d = positions[i + 3];
            t0[a >> 16] += one | (a & 0xffffu);
            t1[b >> 16] += one | (b & 0xffffu);
            t2[c >> 16] += one | (c & 0xffffu);
            t3[d >> 16] += one | (d & 0xffffu);
        }
        for (; i < n; ++i) t0[positions[i] >> 16] += one | (positions[i] & 0xffffu);
    }
    uint64_t pixels() const {
        uint64_t count = 0;
        for (int t = 0; t < tables; ++t)
            for (int k = 0; k < stride - 1; ++k) count += cells[t * stride + k] >> 32;
        return count;
    }
    // Adds (or subtracts) the masses of this task to mass[0 .. bins-1].
    void drain(int64_t* mass, int sign = 1) const {
        const int bins = stride - 1;
        for (int k = 0; k < bins; ++k) {
            uint64_t count = 0, fraction = 0;
            for (int t = 0; t < tables; ++t) {
                const uint64_t cell = cells[t * stride + k];
                count += cell >> 32;
                fraction += cell & 0xffffffffu;
            }
            mass[k] += sign * static_cast<int64_t>((count << 16) - fraction);
            if (fraction) mass[k + 1] += sign * static_cast<int64_t>(fraction);  // the last bin never has a fraction
        }
    }
};

template <>
struct Tally<double> {
    uint64_t cells[kMaxBins + 1];
    int bins;

    explicit Tally(int bins_) : bins(bins_) { std::fill(cells, cells + bins + 1, uint64_t{0}); }
    void add(const uint64_t* positions, int n) {
        constexpr uint64_t one = uint64_t{1} << 40;
        for (int i = 0; i < n; ++i) {
            const uint64_t k = positions[i] >> 40, fraction = positions[i] & (one - 1);
            cells[k] += one - fraction;
            if (fraction) cells[k + 1] += fraction;
        }
    }
    uint64_t pixels() const {
        int128_t mass = 0;
        for (int k = 0; k < bins; ++k) mass += cells[k];
        return static_cast<uint64_t>(mass >> 40);
    }
    void drain(int128_t* mass, int sign = 1) const {
        for (int k = 0; k < bins; ++k) mass[k] += sign * static_cast<int128_t>(cells[k]);
    }
};

// Sums the masses of the tasks of one image into the first row.
template <typename F>
void merge_tasks(total_t<F>* mass, int64_t tasks, int bins) {
    for (int64_t t = 1; t < tasks; ++t)
        for (int k = 0; k < bins; ++k) mass[k] += mass[t * bins + k];
}

}  // namespace sarcore
