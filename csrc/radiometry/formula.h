// The arithmetic of encode and decode, once for the CPU and CUDA back ends.
//
//   encode:  s = curve(v)                      v in the unit of the data, s on the declared scale
//            t = clip((s - low) / (high - low), 0, 1)
//            code = round(t * levels)          integers; with no-data 1 + round(t * (levels - 1)), and 0 is no-data
//   decode:  s = low + t (high - low),  v = inverse curve(s)
//   curves:  identity, square (amplitude to intensity), root, k log (to decibels), exp(k v) (from decibels)
//
// No-data is NaN between the steps, and so is what contradicts the declaration (a negative intensity, an encoded value
// outside [0, 1]); the CPU counts the latter and refuses.
#pragma once

#include <string>
#include <type_traits>

#include "common/exact_math.h"

namespace sarcore {

struct Complex64 {
    float re, im;
};

enum class Unit { intensity, amplitude, db, complex, digital };
enum class Curve { identity, square, root, log, exp };

// What Python declares.
struct Radiometry {
    Unit unit, scale;
    double low, high;
    bool reserve;    // no-data is declared: code 0 is kept for it
    bool has_value;  // ... and has this value beside NaN
    double nodata;
};

// Arithmetic is done in float64 where either side is float64.
template <typename A, typename B>
using wider_t = std::conditional_t<std::is_same_v<A, double> || std::is_same_v<B, double>, double, float>;

template <typename F>
SARCORE_HD F not_a_number() {
    return static_cast<F>(__builtin_nan(""));
}

// The declaration as the loops need it. `nodata` is NaN, which equals nothing, where none is declared.
template <typename F>
struct Mapping {
    Curve curve;
    F factor, low, span, floor, nodata;
    bool reserve;
};

struct Bend {
    Curve curve;
    double factor;
};

inline Bend bend_between(Unit from, Unit to) {
    constexpr double ten = 2.302585092994045684;  // log(10)
    if (from == Unit::complex) from = Unit::intensity;
    if (from == to) return {Curve::identity, 1.0};
    if (from == Unit::db) return {Curve::exp, ten / (to == Unit::intensity ? 10.0 : 20.0)};
    if (to == Unit::db) return {Curve::log, (from == Unit::intensity ? 10.0 : 20.0) / ten};
    return {to == Unit::intensity ? Curve::square : Curve::root, 1.0};
}

// ------ elements

SARCORE_HD float value_of(int16_t v) { return static_cast<float>(v); }
template <typename T>
SARCORE_HD compute_t<T> value_of(T v) {
    return widen(v);
}

// The value that the loops compute with: |z|^2 of a complex number, NaN for no-data.
template <typename F, typename T>
SARCORE_HD F load_value(T element, F nodata) {
    if constexpr (std::is_same_v<T, Complex64>) {
        const F re = static_cast<F>(element.re), im = static_cast<F>(element.im);
        const bool gone = (re == nodata) & (im == F(0));
        return gone ? not_a_number<F>() : re * re + im * im;
    } else {
        const F v = static_cast<F>(value_of(element));
        return v == nodata ? not_a_number<F>() : v;
    }
}

// A computed value as an element of any floating type, rounded to nearest.
template <typename T, typename F>
SARCORE_HD T narrowed(F v) {
    if constexpr (std::is_same_v<T, Half>)
        return half_of(static_cast<double>(v));
    else if constexpr (std::is_same_v<T, BFloat16>)
        return bfloat16_of(static_cast<float>(v));
    else
        return static_cast<T>(v);
}

// No-data as it would stand in an array of T.
template <typename T>
inline double rounded_to(double v) {
    if constexpr (std::is_same_v<T, Half>)
        return static_cast<double>(widen(half_of(v)));
    else if constexpr (std::is_same_v<T, BFloat16>)
        return static_cast<double>(widen(bfloat16_of(static_cast<float>(v))));
    else if constexpr (std::is_same_v<T, float> || std::is_same_v<T, Complex64>)
        return static_cast<double>(static_cast<float>(v));
    else
        return v;
}

template <typename F, typename T>
Mapping<F> encoding(const Radiometry& r) {
    const Bend bend = bend_between(r.unit, r.scale);
    const bool positive = r.unit == Unit::intensity || r.unit == Unit::amplitude;
    return {bend.curve,
            static_cast<F>(bend.factor),
            static_cast<F>(r.low),
            static_cast<F>(r.high - r.low),
            positive ? F(0) : -static_cast<F>(__builtin_huge_val()),
            r.has_value ? static_cast<F>(rounded_to<T>(r.nodata)) : not_a_number<F>(),
            r.reserve};
}

// Back to the unit; complex data come back on the scale, because the phase is gone.
template <typename F>
Mapping<F> decoding(const Radiometry& r) {
    const Bend bend = bend_between(r.scale, r.unit == Unit::complex ? r.scale : r.unit);
    return {bend.curve,
            static_cast<F>(bend.factor),
            static_cast<F>(r.low),
            static_cast<F>(r.high - r.low),
            F(0),
            r.has_value ? static_cast<F>(r.nodata) : not_a_number<F>(),
            r.reserve};
}

// ------ curves

template <Curve C, typename F>
SARCORE_HD F bent(F v, F factor) {
    if constexpr (C == Curve::square) return v * v;
    if constexpr (C == Curve::root) return exact_sqrt(v);
    if constexpr (C == Curve::log) return factor * exact_log(v);
    if constexpr (C == Curve::exp) return exact_exp(factor * v);
    return v;
}

// d bent / dv where bent(v) = s. Zero, not infinite, at the zero of a root or a logarithm: no-data borders are zeros,
// and one infinite gradient ends a training.
template <Curve C, typename F>
SARCORE_HD F bent_slope(F v, F s, F factor) {
    if constexpr (C == Curve::square) return F(2) * v;
    if constexpr (C == Curve::root) return s > F(0) ? F(0.5) / s : F(0);
    if constexpr (C == Curve::log) return v > F(0) ? factor / v : F(0);
    if constexpr (C == Curve::exp) return factor * s;
    return F(1);
}

// Calls body with the curve as a constant: outside a vector loop, or uniform over a warp.
template <typename Body>
SARCORE_HD auto with_curve(Curve curve, const Body& body) {
    switch (curve) {
        case Curve::square:
            return body(std::integral_constant<Curve, Curve::square>{});
        case Curve::root:
            return body(std::integral_constant<Curve, Curve::root>{});
        case Curve::log:
            return body(std::integral_constant<Curve, Curve::log>{});
        case Curve::exp:
            return body(std::integral_constant<Curve, Curve::exp>{});
        default:
            return body(std::integral_constant<Curve, Curve::identity>{});
    }
}

// ------ encode

template <Curve C, typename F>
SARCORE_HD F encoded(F v, const Mapping<F>& m) {
    v = v < m.floor ? not_a_number<F>() : v;
    F t = (bent<C>(v, m.factor) - m.low) / m.span;
    t = t < F(0) ? F(0) : t;
    return t > F(1) ? F(1) : t;  // NaN stays NaN
}

// dt/dv: 0 where t was clipped, and for no-data.
template <Curve C, typename F>
SARCORE_HD F encoded_slope(F v, const Mapping<F>& m) {
    const F s = bent<C>(v, m.factor), t = (s - m.low) / m.span;
    const bool inside = (v >= m.floor) & (t >= F(0)) & (t <= F(1));
    const F slope = bent_slope<C>(v, s, m.factor) / m.span;
    return inside ? slope : F(0);
}

// The gradient of the element: of a complex z times d|z|^2/dz, which is 2 z in PyTorch's convention.
template <typename T, typename F>
SARCORE_HD T chained(F gradient, T element) {
    if constexpr (std::is_same_v<T, Complex64>) {
        return {static_cast<float>(F(2) * gradient * static_cast<F>(element.re)),
                static_cast<float>(F(2) * gradient * static_cast<F>(element.im))};
    } else {
        return narrowed<T>(gradient);
    }
}

SARCORE_HD float rounded(float v) { return (v + 0x1p23f) - 0x1p23f; }  // 0 <= v < 2^22, ties to even
SARCORE_HD double rounded(double v) { return nearest_integer(v); }

template <typename Out, typename F>
SARCORE_HD Out stored(F t, bool reserve) {
    if constexpr (std::is_integral_v<Out>) {
        constexpr F top = static_cast<F>(static_cast<Out>(~Out{}));
        const F first = reserve ? F(1) : F(0);
        const F code = first + rounded(t * (top - first));
        return static_cast<Out>(static_cast<int32_t>(t == t ? code : F(0)));
    } else {
        return narrowed<Out>(t);
    }
}

// ------ decode

// The encoded element as t; NaN for no-data.
template <typename F, typename Q>
SARCORE_HD F load_encoded(Q element, bool reserve) {
    if constexpr (std::is_integral_v<Q>) {
        constexpr F top = static_cast<F>(static_cast<Q>(~Q{}));
        const F first = reserve ? F(1) : F(0);
        const F t = (static_cast<F>(element) - first) / (top - first);
        return t < F(0) ? not_a_number<F>() : t;
    } else {
        return static_cast<F>(widen(element));
    }
}

template <Curve C, typename F>
SARCORE_HD F decoded(F t, const Mapping<F>& m) {
    const F v = bent<C>(t * m.span + m.low, m.factor);
    const bool inside = (t >= F(0)) & (t <= F(1));
    const F outside = t == t ? not_a_number<F>() : m.nodata;
    return inside ? v : outside;
}

template <Curve C, typename F>
SARCORE_HD F decoded_slope(F t, const Mapping<F>& m) {
    const F s = t * m.span + m.low;
    const bool inside = (t >= F(0)) & (t <= F(1));
    const F slope = bent_slope<C>(s, bent<C>(s, m.factor), m.factor) * m.span;
    return inside ? slope : F(0);
}

}  // namespace sarcore
