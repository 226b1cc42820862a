// The arithmetic of the soft histogram, once for the CPU and CUDA back ends.
//
//   w   = (hi - lo) / bins                      bin width
//   t   = clamp((x - lo) / w - 1/2, 0, bins-1)  position of the pixel between the bin centres 0 .. bins-1
//   k   = floor(t), f = t - k
//   h[k] += 1 - f,  h[k+1] += f                 so that every pixel adds exactly one
//   dL/dx = (g[k+1] - g[k]) / w                 and 0 where t was clamped
//
// f is rounded to a fixed-point fraction (16 bits, or 40 for float64) and all sums are sums of integers: exact, and the
// same in every order.
#pragma once

#include "common/dtype.h"
#include "common/geometry.h"

namespace sarcore {

enum class Kernel { linear, hard };

// Fixed point for each compute type. A position is k * one + fraction; the trash bin `bins` takes the pixels that do
// not count.
template <typename F>
struct Fixed;
template <>
struct Fixed<float> {
    using position = uint32_t;
    using total = int64_t;  // masses of a whole image and their differences
    static constexpr int bits = 16;
    static constexpr int digits = 24;  // of the significand
};
__extension__ typedef __int128 int128_t;
template <>
struct Fixed<double> {
    using position = uint64_t;
    using total = int128_t;
    static constexpr int bits = 40;
    static constexpr int digits = 53;
};
template <typename F>
using position_t = typename Fixed<F>::position;
template <typename F>
using total_t = typename Fixed<F>::total;

struct Axis {
    double lo, hi;
    int bins;
};

template <typename F>
SARCORE_HD F axis_scale(const Axis& axis) {
    return static_cast<F>(axis.bins / (axis.hi - axis.lo));
}

// (x - lo) / w - 1/2, not clamped. NaN stays NaN.
template <typename F>
SARCORE_HD F centre_position(F x, F lo, F scale) {
    return (x - lo) * scale - F(0.5);
}

template <typename F>
SARCORE_HD position_t<F> fixed_position(F x, F lo, F scale, F top) {
    F t = centre_position(x, lo, scale);
    t = t > F(0) ? t : F(0);
    t = t < top ? t : top;
    constexpr F one = F(int64_t{1} << Fixed<F>::bits);
    return static_cast<position_t<F>>(t * one + F(0.5));
}

template <typename F>
SARCORE_HD position_t<F> trash_position(int bins) {
    return static_cast<position_t<F>>(bins) << Fixed<F>::bits;
}

// Edge k of numpy.histogram: linspace in float64, rounded to the dtype of the data (float64 for integers, float32 for
// bfloat16).
SARCORE_HD double edge_in_double(const Axis& axis, int k) {
    return k == axis.bins ? axis.hi : k * ((axis.hi - axis.lo) / axis.bins) + axis.lo;
}

template <typename T>
struct Edge {
    using type = float;
    static SARCORE_HD float round(double v) { return static_cast<float>(v); }
};
template <>
struct Edge<Half> {
    using type = float;
    static SARCORE_HD float round(double v) { return widen(half_of(v)); }
};
struct EdgeDouble {
    using type = double;
    static SARCORE_HD double round(double v) { return v; }
};
template <>
struct Edge<uint8_t> : EdgeDouble {};
template <>
struct Edge<uint16_t> : EdgeDouble {};
template <>
struct Edge<double> : EdgeDouble {};

// The bin of numpy.histogram, or `bins` where it would not count the value: half-open bins, the last one closed.
template <typename T>
SARCORE_HD int hard_bin(T value, const Axis& axis) {
    using E = typename Edge<T>::type;
    const E x = static_cast<E>(widen(value));
    const E first = Edge<T>::round(axis.lo), last = Edge<T>::round(axis.hi);
    if (!(x >= first && x <= last)) return axis.bins;
    const double guess = (static_cast<double>(x) - axis.lo) / (axis.hi - axis.lo) * axis.bins;
    int k = static_cast<int>(guess);
    k = k > axis.bins - 1 ? axis.bins - 1 : (k < 0 ? 0 : k);
    while (k > 0 && x < Edge<T>::round(edge_in_double(axis, k))) --k;
    while (k < axis.bins - 1 && x >= Edge<T>::round(edge_in_double(axis, k + 1))) ++k;
    return k;
}

// Index into a slope table of `bins` entries: k + 1 between centres k and k + 1, and 0, whose slope is zero, outside
// all centres and for NaN.
template <typename F>
SARCORE_HD int slope_index(F x, F lo, F scale, F top) {
    F t = centre_position(x, lo, scale);
    t = t > F(-1) ? t : F(-1);  // NaN too
    t = t < top ? t : F(-1);
    return static_cast<int>(t + F(1));
}

SARCORE_HD int ceil_log2(uint64_t n) {
    int bits = 0;
    while ((uint64_t{1} << bits) < n) ++bits;
    return bits;
}

// Fixed point to the result. Multiples of 2^-s with N * 2^s <= 2^digits: every partial sum of a histogram of N pixels
// is then a number of the type, so that its sum is N exactly, whatever the order of the additions. Rounding the running
// total keeps the total.
template <typename F>
struct Rounding {
    int drop;  // low bits of the fixed point that do not fit
    F unit;    // what one unit of the remaining integer is worth
    explicit SARCORE_HD Rounding(uint64_t pixels) {
        int keep = Fixed<F>::digits - ceil_log2(pixels < 1 ? 1 : pixels);
        keep = keep < 0 ? 0 : (keep > Fixed<F>::bits ? Fixed<F>::bits : keep);
        drop = Fixed<F>::bits - keep;
        unit = F(1) / static_cast<F>(uint64_t{1} << keep);
    }
    SARCORE_HD int64_t operator()(total_t<F> total) const {
        return static_cast<int64_t>(drop ? (total + (total_t<F>(1) << (drop - 1))) >> drop : total);
    }
};

// How many pixels counted: the sum of all masses, which is a whole number of pixels.
template <typename F>
SARCORE_HD uint64_t pixels_of(const total_t<F>* mass, int bins) {
    total_t<F> total = 0;
    for (int k = 0; k < bins; ++k) total += mass[k];
    return static_cast<uint64_t>(total >> Fixed<F>::bits);
}

// Bin masses (fixed point) of an image to the result row; pixels is the number that counted.
template <typename F>
SARCORE_HD void finish_histogram(const total_t<F>* mass, int bins, uint64_t pixels, F* out) {
    const Rounding<F> round(pixels);
    total_t<F> total = 0;
    int64_t rounded = 0;
    for (int k = 0; k < bins; ++k) {
        total += mass[k];
        const int64_t next = round(total);
        out[k] = static_cast<F>(next - rounded) * round.unit;
        rounded = next;
    }
}

// Slope table of a row of upstream gradients.
template <typename F>
SARCORE_HD F slope_entry(const F* gradient, int j, F scale) {
    return j == 0 ? F(0) : (gradient[j] - gradient[j - 1]) * scale;
}

}  // namespace sarcore
