// The arithmetic of the speckle filters, once for the CPU and CUDA back ends: from a window's sums to the result.
//
//   m = sum x / n,  v = sum x^2 / n - m^2  over the n valid pixels of the window,  Cu^2 = 1 / looks,  Ci^2 = v / m^2
//
// Everything is computed on intensities, in double: the squares of float32 intensities keep their digits, and the
// difference in v loses none that speckle needs (v / m^2 is 1 / looks). Window sums are built from sums over 2, 4, 8,
// .. neighbours, s2[i] = s1[i] + s1[i + 1], s4[i] = s2[i] + s2[i + 2], ..: the window is cut into such pieces by its
// binary digits, the longest piece first, and the pieces are added from the shortest to the longest, first along x,
// then along y. This order depends on nothing but the window: a tile has the bits of the whole image, and CUDA those
// of the CPU.
#pragma once

#include "common/exact_math.h"

namespace sarcore {

enum class Method { boxcar, lee, enhanced_lee, kuan, gamma_map, enl, frost, refined_lee };
enum class Domain { intensity, amplitude, db, log };

inline constexpr int kLargestWindow = 31;

struct Filter {
    Method method;
    Domain domain;
    int window;
    double looks, damping;
    SARCORE_HD int radius() const { return window / 2; }
    SARCORE_HD int pixels() const { return window * window; }
};

struct Planes {
    int64_t count, height, width;  // images of height x width
};

// Where the piece of 2^k pixels begins in a window that has it.
SARCORE_HD int digit_offset(int window, int k) { return window >> (k + 1) << (k + 1); }

// The index of the pixel that stands at i in -n < i < 2 n - 1: reflection that does not repeat the edge.
template <typename I>
SARCORE_HD I reflect(I i, I n) {
    i = i < 0 ? -i : i;
    return i < n ? i : 2 * (n - 1) - i;
}

// ------ between the unit of the image and intensity

inline constexpr double kLogPerDecibel = 0.23025850929940458, kDecibelPerLog = 4.3429448190325175;

template <Domain domain>
SARCORE_HD double intensity_of(double x) {
    if constexpr (domain == Domain::intensity) return x;
    if constexpr (domain == Domain::amplitude) return x * x;
    if constexpr (domain == Domain::db) return exact_exp(x * kLogPerDecibel);
    return exact_exp(x);
}

template <Domain domain>
SARCORE_HD double unit_of(double intensity) {
    if constexpr (domain == Domain::intensity) return intensity;
    if constexpr (domain == Domain::amplitude) return exact_sqrt(intensity);
    if constexpr (domain == Domain::db) return exact_log(intensity) * kDecibelPerLog;
    return exact_log(intensity);
}

// A value that no intensity or amplitude has, NaN included; decibels and logarithms have every value.
template <Domain domain>
SARCORE_HD bool impossible(double x) {
    if constexpr (domain == Domain::intensity || domain == Domain::amplitude) return !(x >= 0.0);
    return x != x;
}

// ------ the statistics of a window

// What is left of a variance below 2^-44 of the squared mean is rounding: a constant window has variance 0.
SARCORE_HD double variance_of(double mean, double squares, double inverse) {
    const double square = mean * mean, v = squares * inverse - square;
    return v > square * 0x1p-44 ? v : 0.0;
}

// ------ the filters: mean, variance and centre pixel to the result

template <Method method>
SARCORE_HD double filtered(double m, double v, double x, const Filter& f) {
    const double cu2 = 1.0 / f.looks;
    if constexpr (method == Method::boxcar) return m;
    if constexpr (method == Method::enl) return v > 0.0 ? m * m / v : static_cast<double>(__builtin_huge_val());
    const double spread = v > 0.0 ? v : 1.0;  // never divide by a variance of zero
    if constexpr (method == Method::lee || method == Method::kuan) {
        double w = 1.0 - cu2 * (m * m) / spread;
        if constexpr (method == Method::kuan) w = w / (1.0 + cu2);
        w = v > 0.0 && w > 0.0 ? w : 0.0;
        return m + w * (x - m);
    }
    if constexpr (method == Method::refined_lee) {
        double b = (v - m * m * cu2) / ((1.0 + cu2) * spread);
        b = v > 0.0 && b > 0.0 ? b : 0.0;
        return m + b * (x - m);
    }
    const double ratio = m > 0.0 ? v / (m * m) : 0.0;                 // Ci^2
    if constexpr (method == Method::frost) return f.damping * ratio;  // the decay of the weights with distance
    if constexpr (method == Method::enhanced_lee) {
        const double ci = exact_sqrt(ratio), cu = exact_sqrt(cu2), top = exact_sqrt(1.0 + 2.0 * cu2);
        const bool between = ci > cu && ci < top;
        const double w = exact_exp(between ? -f.damping * (ci - cu) / (top - ci) : 0.0);
        const double mixed = m * w + x * (1.0 - w);
        return between ? mixed : (ci < top ? m : x);
    }
    if constexpr (method == Method::gamma_map) {
        const bool between = ratio > cu2 && ratio < 2.0 * cu2;
        const double a = (1.0 + cu2) / (between ? ratio - cu2 : 1.0), b = a - f.looks - 1.0;
        const double y = (b * m + exact_sqrt(m * m * (b * b) + 4.0 * a * f.looks * m * x)) / (2.0 * a);
        return between ? y : (ratio < 2.0 * cu2 ? m : x);
    }
    return m;
}

}  // namespace sarcore
