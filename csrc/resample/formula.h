// Which pixels of an axis an output pixel sums up, and with which weights: once for the host and CUDA.
//
//   position   c = s (j + 1/2), measured from the image's edge, s = input / output, or 1 / scale where that was given
//   nearest    pixel floor(s j); nearest-exact floor(c)
//   bilinear, bicubic (a = -3/4)   around c - 1/2, pixels beyond the border being the border's
//   antialiased bilinear, bicubic (a = -1/2), Lanczos (a = 3)   f((i + 1/2 - c) / max(s, 1)), normalised to sum 1
//   area       the mean of the pixels that j covers, at least in part
//
// Positions are rounded as PyTorch rounds them, to the type of the computation after one fused step, because a weight
// of a pixel 1000 is only as good as the position's 1e-4. Lanczos follows Pillow: float64. All from + - * / alone.
#pragma once

#include <type_traits>

#include "common/dtype.h"

namespace sarcore {

enum class Resampling { nearest, nearest_exact, bilinear, bicubic, lanczos, area };

struct ResampleAxis {
    Resampling mode;
    bool antialias;  // the window is stretched by the factor of shrinking, and normalised
    bool single;     // positions are rounded to float32
    int64_t inputs, outputs;
    double step;     // input pixels per output pixel
    double stretch;  // of the window
};

// Input pixels first <= i < last.
struct InputRange {
    int64_t first, last;
};

SARCORE_HD double least(double a, double b) { return b < a ? b : a; }
SARCORE_HD double most(double a, double b) { return b > a ? b : a; }
SARCORE_HD int64_t clamped(int64_t i, int64_t count) { return i < 0 ? 0 : (i >= count ? count - 1 : i); }
SARCORE_HD int64_t floor_of(double v) {
    const int64_t i = static_cast<int64_t>(v);
    return static_cast<double>(i) > v ? i - 1 : i;
}
SARCORE_HD double rounded_position(const ResampleAxis& axis, double v) {
    return axis.single ? static_cast<double>(static_cast<float>(v)) : v;
}

// `given`: the scale that the caller asked for, or 0. Of an axis that keeps its length PyTorch ignores it, but for
// plain bicubic sums and nearest pixels.
inline ResampleAxis axis_of(Resampling mode, bool antialias, bool single, int64_t inputs, int64_t outputs,
                            double given) {
    const bool windowed = antialias || mode == Resampling::lanczos;
    ResampleAxis axis{mode, windowed, single && mode != Resampling::lanczos, inputs, outputs, 0.0, 1.0};
    if (inputs == outputs && (windowed || mode == Resampling::bilinear)) given = 0.0;
    const double n = rounded_position(axis, static_cast<double>(inputs));
    const double m = rounded_position(axis, static_cast<double>(outputs));
    axis.step = rounded_position(axis, given > 0.0 ? 1.0 / given : n / m);
    if (antialias) axis.stretch = most(axis.step, 1.0);
    return axis;
}

SARCORE_HD double radius_of(Resampling mode) {
    return mode == Resampling::bilinear ? 1.0 : (mode == Resampling::bicubic ? 2.0 : 3.0);
}

// ------ windows

// sin(pi v) for |v| <= 4: the nearest whole number exactly, the rest by Taylor series.
SARCORE_HD double sine_of_half_turns(double v) {
    const double n = (v + 0x1.8p52) - 0x1.8p52;
    const double r = (v - n) * 3.14159265358979323846, z = r * r;
    double p = 1.0 / 51090942171709440000.0;  // 1 / 21!
    p = 1.0 / 121645100408832000.0 - z * p;
    p = 1.0 / 355687428096000.0 - z * p;
    p = 1.0 / 1307674368000.0 - z * p;
    p = 1.0 / 6227020800.0 - z * p;
    p = 1.0 / 39916800.0 - z * p;
    p = 1.0 / 362880.0 - z * p;
    p = 1.0 / 5040.0 - z * p;
    p = 1.0 / 120.0 - z * p;
    p = 1.0 / 6.0 - z * p;
    const double s = r - r * z * p;
    return (static_cast<int64_t>(n) & 1) ? -s : s;
}

SARCORE_HD double sinc(double v) { return v == 0.0 ? 1.0 : sine_of_half_turns(v) / (v * 3.14159265358979323846); }

// Keys' cubic convolution.
SARCORE_HD double cubic_window(double v, double a) {
    v = v < 0.0 ? -v : v;
    if (v < 1.0) return ((a + 2.0) * v - (a + 3.0)) * v * v + 1.0;
    return v < 2.0 ? (((v - 5.0) * v + 8.0) * v - 4.0) * a : 0.0;
}

// The part of pixel base + k, -1 <= k <= 2, of a bicubic sum that is not antialiased. In float32 as PyTorch computes
// it, whose far part is off by up to 5e-7: two of its three steps are fused.
SARCORE_HD double cubic_part(const ResampleAxis& axis, double fraction, int k) {
    if (!axis.single) return cubic_window(fraction - static_cast<double>(k), -0.75);
    const float t = k <= 0 ? static_cast<float>(fraction) : 1.0f - static_cast<float>(fraction);
    if (k == 0 || k == 1) return static_cast<double>((1.25f * t - 2.25f) * t * t + 1.0f);
    const double v = static_cast<double>(t + 1.0f);
    const float p = static_cast<float>(-0.75 * v + 3.75), q = static_cast<float>(static_cast<double>(p) * v - 6.0);
    return static_cast<double>(q * (t + 1.0f) + 3.0f);
}

SARCORE_HD double window(Resampling mode, double v) {
    if (mode == Resampling::bicubic) return cubic_window(v, -0.5);
    if (mode == Resampling::bilinear) return most(1.0 - (v < 0.0 ? -v : v), 0.0);
    return v >= -3.0 && v < 3.0 ? sinc(v) * sinc(v / 3.0) : 0.0;
}

// ------ where a window lies

SARCORE_HD int64_t nearest_pixel(const ResampleAxis& axis, int64_t j) {
    if (axis.mode == Resampling::nearest) {
        const double at = rounded_position(axis, axis.step * static_cast<double>(j));
        return clamped(floor_of(static_cast<double>(static_cast<float>(at))), axis.inputs);
    }
    const double at = rounded_position(axis, axis.step * (static_cast<double>(j) + 0.5) - 0.5);
    return clamped(floor_of(static_cast<double>(static_cast<float>(most(at, 0.0)) + 0.5f)), axis.inputs);
}

// The pixel at or before the position from which a bilinear or bicubic fraction counts.
SARCORE_HD int64_t base_pixel(const ResampleAxis& axis, int64_t j, double& fraction) {
    double at = rounded_position(axis, axis.step * (static_cast<double>(j) + 0.5) - 0.5);
    if (axis.mode == Resampling::bilinear) at = most(at, 0.0);
    const int64_t base = floor_of(at) < axis.inputs - 1 ? floor_of(at) : axis.inputs - 1;
    fraction = least(most(at - static_cast<double>(base), 0.0), 1.0);
    return base;
}

// The pixels that may have weight: their ends never decrease from one j to the next.
SARCORE_HD InputRange span_of(const ResampleAxis& axis, int64_t j) {
    if (axis.mode == Resampling::area)
        return {j * axis.inputs / axis.outputs, ((j + 1) * axis.inputs + axis.outputs - 1) / axis.outputs};
    if (axis.mode == Resampling::nearest || axis.mode == Resampling::nearest_exact) {
        const int64_t i = nearest_pixel(axis, j);
        return {i, i + 1};
    }
    if (axis.antialias) {
        const double center = rounded_position(axis, axis.step * (static_cast<double>(j) + 0.5));
        const double radius = radius_of(axis.mode) * axis.stretch;
        const int64_t first = static_cast<int64_t>(most(center - radius + 0.5, 0.0));
        const int64_t last = static_cast<int64_t>(least(center + radius + 0.5, static_cast<double>(axis.inputs)));
        return {clamped(first, axis.inputs), last};
    }
    double fraction;
    const int64_t base = base_pixel(axis, j, fraction), reach = axis.mode == Resampling::bicubic ? 1 : 0;
    return {clamped(base - reach, axis.inputs), clamped(base + 1 + reach, axis.inputs) + 1};
}

// ------ weights

// Of pixel i of the span, before normalisation.
SARCORE_HD double plain_weight(const ResampleAxis& axis, int64_t j, int64_t i) {
    if (axis.antialias) {
        const double center = rounded_position(axis, axis.step * (static_cast<double>(j) + 0.5));
        return window(axis.mode, (static_cast<double>(i) - center + 0.5) / axis.stretch);
    }
    if (axis.mode != Resampling::bilinear && axis.mode != Resampling::bicubic) return 1.0;
    double fraction, sum = 0.0;
    const int64_t base = base_pixel(axis, j, fraction);
    if (axis.mode == Resampling::bilinear)
        return (i == base ? 1.0 - fraction : 0.0) + (i == clamped(base + 1, axis.inputs) ? fraction : 0.0);
    for (int k = -1; k <= 2; ++k)
        if (clamped(base + k, axis.inputs) == i) sum += cubic_part(axis, fraction, k);
    return sum;
}

// Writes the weights of output j, `next` apart, and its pixels in `span`, without zeros at the ends: a pixel of weight
// zero passes no NaN on.
template <typename F>
SARCORE_HD void fill_weights(const ResampleAxis& axis, int64_t j, int64_t next, F* weights, InputRange& span) {
    span = span_of(axis, j);
    const bool normalised = axis.antialias || axis.mode == Resampling::area;
    double total = normalised ? 0.0 : 1.0;
    if (normalised)
        for (int64_t i = span.first; i < span.last; ++i) total += plain_weight(axis, j, i);
    int64_t kept = 0;
    InputRange nonzero{span.first, span.first};
    for (int64_t i = span.first; i < span.last; ++i) {
        const F weight = static_cast<F>(plain_weight(axis, j, i) / total);
        if (kept == 0 && weight == F(0)) continue;
        if (kept == 0) nonzero.first = i;
        weights[kept++ * next] = weight;
        if (weight != F(0)) nonzero.last = i + 1;
    }
    span = kept ? nonzero : InputRange{span.first, span.first};
}

// The transposed table: for input i, the outputs lo <= j < hi whose spans hold it. Read from the weights of the
// outputs.
template <typename F, typename Reader>
SARCORE_HD void fill_transposed(int64_t i, InputRange outputs, const Reader& weight_of, int64_t next, F* weights,
                                InputRange& span) {
    int64_t kept = 0;
    span = {outputs.first, outputs.first};
    for (int64_t j = outputs.first; j < outputs.last; ++j) {
        const F weight = weight_of(j, i);
        if (kept == 0 && weight == F(0)) continue;
        if (kept == 0) span.first = j;
        weights[kept++ * next] = weight;
        if (weight != F(0)) span.last = j + 1;
    }
}

// ------ results

SARCORE_HD float element_value(int16_t v) { return static_cast<float>(v); }
template <typename T>
SARCORE_HD compute_t<T> element_value(T v) {
    return widen(v);
}

SARCORE_HD float nearest_whole(float v) { return (v + 0x1.8p23f) - 0x1.8p23f; }  // |v| <= 2^22, ties to even

template <typename F>
SARCORE_HD F clamped_to(F v, F low, F high) {
    v = v < low ? low : v;
    return v > high ? high : v;  // NaN stays NaN
}

// A result as an element: integers rounded to nearest, ties to even, and to the ends of their type.
template <typename T, typename F>
SARCORE_HD T element_of(F v) {
    if constexpr (std::is_integral_v<T>) {
        constexpr int bits = 8 * static_cast<int>(sizeof(T)) - (std::is_signed_v<T> ? 1 : 0);
        constexpr F low = std::is_signed_v<T> ? F(-(1 << bits)) : F(0), high = F((1 << bits) - 1);
        return static_cast<T>(static_cast<int32_t>(nearest_whole(clamped_to(v, low, high))));
    } else {
        return narrow<T>(v);
    }
}

}  // namespace sarcore
