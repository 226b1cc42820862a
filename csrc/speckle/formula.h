// The arithmetic of speckle, shared by both back ends.
//
// Random words come from Philox, keyed by the seed and counted by (x / 4, y, image, channel | purpose | draw): one draw
// gives one word to each of four neighbouring pixels. What a pixel gets depends on its place in the scene alone.
//
// Gamma(a) of unit scale, a > 0:
//   a = 1 .. 8     minus the logarithm of a product of `a` uniforms, exact and without rejection;
//   other a >= 1   Marsaglia and Tsang, "A simple method for generating gamma variables", ACM TOMS 26(3), 2000:
//                  d = a - 1/3, y = n / sqrt(9 d), d (1 + y)^3, accepted if log u < 3 d (log(1 + y) - y + y^2/2 -
//                  y^3/3), which is their condition with the cancelling terms removed; draws 2k and 2k + 1 are attempt
//                  k's normals (Box-Muller, two per two words) and uniforms;
//   a < 1          Gamma(a + 1) u^(1/a).
#pragma once

#include "common/exact_math.h"
#include "common/philox.h"

namespace sarcore {

enum class SpeckleDomain { intensity, amplitude, db, log, complex };

inline constexpr int kMaxFactors = 8;      // looks up to which the product is cheaper than rejection
inline constexpr int kMaxTapRadius = 16;   // of a point spread
inline constexpr int kMaxAttempts = 4096;  // never reached: the worst acceptance rate is 95 %
inline constexpr uint32_t kBoostDraw = 0x3fffu;
inline constexpr float kDecibels = 4.3429448190325183f;  // 10 / log 10
inline constexpr float kSmallestGain = 0x1p-126f;        // speckle is never zero: a positive intensity stays positive

// What the draws of a stream are for: bits 14 and 15 of the counter's last word.
enum class Purpose : uint32_t { speckle = 0, texture = 1, waves = 2, remainder = 3 };

struct Stream {
    uint32_t image, tail, key0, key1;
};

SARCORE_HD Stream stream_of(uint64_t seed, uint32_t image, uint32_t channel, Purpose purpose) {
    return {image, (channel << 16) | (static_cast<uint32_t>(purpose) << 14), static_cast<uint32_t>(seed),
            static_cast<uint32_t>(seed >> 32)};
}

SARCORE_HD Words draw_words(const Stream& s, uint32_t group, uint32_t row, uint32_t number) {
    return philox(group, row, s.image, s.tail + number, s.key0, s.key1);
}

// 31 bits in (0, 1): a product of four stays a normal number, and the logarithm is never zero.
SARCORE_HD float uniform_of(uint32_t word) {
    const float v = static_cast<float>(static_cast<int32_t>(word >> 1)) + 1.0f;
    return (v < 2147483520.0f ? v : 2147483520.0f) * 0x1p-31f;
}

// Two independent standard normals.
SARCORE_HD void normals_of(uint32_t radius, uint32_t angle, float& first, float& second) {
    const float r = exact_sqrt(-2.0f * exact_log_normal(uniform_of(radius)));
    float cosine, sine;
    exact_direction(angle, cosine, sine);
    first = r * cosine;
    second = r * sine;
}

// How Gamma(shape) is drawn, and what the draw is multiplied with.
struct Sampler {
    int32_t factors;  // uniforms of the product; 0: Marsaglia and Tsang; -1: the shape is not a positive number
    bool boosted;     // shape < 1
    bool series;      // y is small: log(1 + y) by its series, which does not cancel
    float d, c, three_d, inverse, scale;
};

SARCORE_HD Sampler sampler_of(float shape, float scale) {
    Sampler s{-1, false, false, 0.0f, 0.0f, 0.0f, 0.0f, scale};
    if (!(shape > 0.0f && shape < 0x1.fffffep127f)) return s;
    const int32_t whole = static_cast<int32_t>(shape < 16.0f ? shape : 16.0f);
    s.factors = static_cast<float>(whole) == shape && whole <= kMaxFactors ? whole : 0;
    s.boosted = shape < 1.0f;
    s.d = (s.boosted ? shape + 1.0f : shape) - 1.0f / 3.0f;
    s.c = 1.0f / exact_sqrt(9.0f * s.d);
    s.three_d = 3.0f * s.d;
    s.series = s.d > 64.0f;
    s.inverse = 1.0f / shape;
    return s;
}

// log(1 + y) - y + y^2/2 - y^3/3
SARCORE_HD float tsang_direct(float y) {
    const float t = 1.0f + y;
    return exact_log_normal(t > 1e-30f ? t : 1e-30f) - (y - y * y * (0.5f - y * (1.0f / 3.0f)));
}
SARCORE_HD float tsang_series(float y) {
    float p = -1.0f / 10.0f;
    p = p * y + 1.0f / 9.0f;
    p = p * y - 1.0f / 8.0f;
    p = p * y + 1.0f / 7.0f;
    p = p * y - 1.0f / 6.0f;
    p = p * y + 1.0f / 5.0f;
    p = p * y - 1.0f / 4.0f;
    return p * (y * y) * (y * y);
}

// One attempt: d (1 + y)^3, or a negative number where it is rejected.
template <bool series>
SARCORE_HD float tsang_value(const Sampler& s, float normal, uint32_t word) {
    const float y = s.c * normal, t = 1.0f + y;
    const float bound = s.three_d * (series ? tsang_series(y) : tsang_direct(y));
    const bool accepted = (t > 0.0f) & (exact_log_normal(uniform_of(word)) < bound);
    return accepted ? s.d * (t * t * t) : -1.0f;
}

// u^(1/a), the factor of a shape below one.
SARCORE_HD float boost_of(const Sampler& s, uint32_t word) {
    return exact_exp(exact_log_normal(uniform_of(word)) * s.inverse);
}

// One pixel's value of attempt k and later ones: `lane` of the four that share the draws.
SARCORE_HD float tsang_from(const Sampler& s, const Stream& stream, uint32_t group, uint32_t row, int lane, int k) {
    for (; k < kMaxAttempts; ++k) {
        const Words a = draw_words(stream, group, row, 2u * static_cast<uint32_t>(k));
        const Words b = draw_words(stream, group, row, 2u * static_cast<uint32_t>(k) + 1u);
        float first, second;
        normals_of(lane < 2 ? a.w[0] : a.w[2], lane < 2 ? a.w[1] : a.w[3], first, second);
        const float n = lane & 1 ? second : first;
        const uint32_t word = lane == 0 ? b.w[0] : (lane == 1 ? b.w[1] : (lane == 2 ? b.w[2] : b.w[3]));
        const float value = s.series ? tsang_value<true>(s, n, word) : tsang_value<false>(s, n, word);
        if (value >= 0.0f) return value;
    }
    return s.d;
}

// The factor on an amplitude or an intensity, or the term added to decibels or logarithms.
SARCORE_HD float gain_of(float intensity, SpeckleDomain domain) {
    const float g = intensity < kSmallestGain ? kSmallestGain : intensity;  // NaN, of looks that are none, stays
    if (domain == SpeckleDomain::amplitude) return exact_sqrt(g);
    if (domain == SpeckleDomain::log) return g == g ? exact_log_normal(g) : g;
    if (domain == SpeckleDomain::db) return g == g ? kDecibels * exact_log_normal(g) : g;
    return g;
}

// Correlated speckle: `waves` Gaussian fields, smoothed by the point spread, squared and added, have the shape waves /
// 2; the rest of the looks is drawn per pixel.
SARCORE_HD int waves_of(float looks) {
    const float twice = 2.0f * looks;
    return twice >= 1.0f ? (twice < 4096.0f ? static_cast<int>(twice) : 4096) : 0;
}

// Where the pixel (y, x) of an image stands: counters of its row, and of the four pixels that share draws.
struct Place {
    uint32_t image;
    int64_t y, x;  // of the image's first pixel in the scene
};

}  // namespace sarcore
