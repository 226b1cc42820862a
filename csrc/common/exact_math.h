// log, exp and sin/cos from +, -, *, / and integer operations alone, without fused multiply-add: every IEEE machine
// gives the same bits, the CPU at any instruction set and every GPU. Errors, measured over all exponents: log 0.8 and
// exp 1.0 units in the last place in either precision, the direction 1.1e-7.
//
// log:  x = 2^e m with m in [sqrt(1/2), sqrt(2)); float: log m = f - f^2/2 + f^3 P(f), f = m - 1, P a Chebyshev fit of
//       degree 8; double: log m = 2 artanh(s), s = f / (2 + f), its Taylor series.
// exp:  x = n log 2 + r with |r| <= log(2)/2; Taylor series of exp r, then the exponent is moved by n in two steps, so
//       that results below the normal range are rounded once.
#pragma once

#include "common/dtype.h"

namespace sarcore {

SARCORE_HD float exact_sqrt(float x) {
#ifdef __CUDA_ARCH__
    return __fsqrt_rn(x);
#else
    return __builtin_sqrtf(x);
#endif
}

SARCORE_HD double exact_sqrt(double x) {
#ifdef __CUDA_ARCH__
    return __dsqrt_rn(x);
#else
    return __builtin_sqrt(x);
#endif
}

// log of a positive normal float: the bare loop body of the samplers.
SARCORE_HD float exact_log_normal(float x) {
    const uint32_t bits = bit_cast<uint32_t>(x);
    const int32_t e = static_cast<int32_t>(bits - 0x3f3504f3u) >> 23;
    const float f = bit_cast<float>(bits - (static_cast<uint32_t>(e) << 23)) - 1.0f;
    const float n = static_cast<float>(e), z = f * f;
    float p = 0x1.2c562ep-4f;
    p = p * f - 0x1.dd96c8p-4f;
    p = p * f + 0x1.dc8e6ep-4f;
    p = p * f - 0x1.fbc4e6p-4f;
    p = p * f + 0x1.23dd18p-3f;
    p = p * f - 0x1.55625cp-3f;
    p = p * f + 0x1.999d36p-3f;
    p = p * f - 0x1.ffffe6p-3f;
    p = p * f + 0x1.555554p-2f;
    const float low = z * f * p + n * -0x1.bd0106p-13f;  // n (log 2 - 0x1.63p-1)
    return n * 0x1.63p-1f + (f + (low - 0.5f * z));
}

SARCORE_HD double exact_log_normal(double x) {
    const uint64_t bits = bit_cast<uint64_t>(x);
    // The exponent through a signed 64-bit difference without an arithmetic shift, which SSE and AVX2 lack.
    const uint64_t biased = (bits - 0x3fe6a09e667f3bcdull + (1024ull << 52)) >> 52;
    const double n = static_cast<double>(static_cast<int32_t>(biased)) - 1024.0;
    const double f = bit_cast<double>(bits - ((biased - 1024ull) << 52)) - 1.0;
    const double s = f / (2.0 + f), z = s * s;
    double p = 2.0 / 23.0;
    p = p * z + 2.0 / 21.0;
    p = p * z + 2.0 / 19.0;
    p = p * z + 2.0 / 17.0;
    p = p * z + 2.0 / 15.0;
    p = p * z + 2.0 / 13.0;
    p = p * z + 2.0 / 11.0;
    p = p * z + 2.0 / 9.0;
    p = p * z + 2.0 / 7.0;
    p = p * z + 2.0 / 5.0;
    p = p * z + 2.0 / 3.0;
    // log m = f - (f^2/2 - s (f^2/2 + z p)): the large term f enters exactly
    const double half = 0.5 * f * f;
    return n * 0x1.62e42fefap-1 + (f - (half - (s * (half + z * p) + n * 0x1.cf79abc9e3b3ap-40)));
}

// log with the conventions of the C library: 0 gives -infinity, negative numbers NaN.
template <typename F>
SARCORE_HD F exact_log(F x) {
    constexpr bool wide = sizeof(F) == 8;
    const F tiny = wide ? static_cast<F>(0x1p-1022) : static_cast<F>(0x1p-126f);
    const F up = wide ? static_cast<F>(0x1p54) : static_cast<F>(0x1p25f);
    const F shift = wide ? static_cast<F>(54 * 0.6931471805599453) : static_cast<F>(25 * 0.6931471805599453);
    const bool small = x < tiny;
    F y = exact_log_normal(small ? x * up : x) - (small ? shift : F(0));
    y = x > (wide ? static_cast<F>(0x1.fffffffffffffp1023) : static_cast<F>(0x1.fffffep127f)) ? x : y;
    y = x == F(0) ? -static_cast<F>(__builtin_huge_val()) : y;
    return x >= F(0) ? y : static_cast<F>(__builtin_nan(""));
}

SARCORE_HD float exact_exp(float x) {
    const float c = x < -104.0f ? -104.0f : (x > 89.0f ? 89.0f : x);
    const float n = (c * 0x1.715476p0f + 0x1.8p23f) - 0x1.8p23f;
    const float r = c - n * 0x1.63p-1f - n * -0x1.bd0106p-13f;
    float p = 1.0f / 5040.0f;
    p = p * r + 1.0f / 720.0f;
    p = p * r + 1.0f / 120.0f;
    p = p * r + 1.0f / 24.0f;
    p = p * r + 1.0f / 6.0f;
    p = p * r + 0.5f;
    const float y = 1.0f + (r + r * r * p);
    const int32_t k = c == c ? static_cast<int32_t>(n) : 0, half = k >> 1;
    const float a = bit_cast<float>(static_cast<uint32_t>(half + 127) << 23);
    const float b = bit_cast<float>(static_cast<uint32_t>(k - half + 127) << 23);
    return x == x ? y * a * b : x;
}

SARCORE_HD double exact_exp(double x) {
    const double c = x < -746.0 ? -746.0 : (x > 710.0 ? 710.0 : x);
    const double n = (c * 0x1.71547652b82fep0 + 0x1.8p52) - 0x1.8p52;
    const double r = c - n * 0x1.62e42fefap-1 - n * 0x1.cf79abc9e3b3ap-40;
    double p = 1.0 / 6227020800.0;
    p = p * r + 1.0 / 479001600.0;
    p = p * r + 1.0 / 39916800.0;
    p = p * r + 1.0 / 3628800.0;
    p = p * r + 1.0 / 362880.0;
    p = p * r + 1.0 / 40320.0;
    p = p * r + 1.0 / 5040.0;
    p = p * r + 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    const double y = 1.0 + (r + r * r * p);
    const int32_t k = c == c ? static_cast<int32_t>(n) : 0, half = k >> 1;
    const double a = bit_cast<double>(static_cast<uint64_t>(half + 1023) << 52);
    const double b = bit_cast<double>(static_cast<uint64_t>(k - half + 1023) << 52);
    return x == x ? y * a * b : x;
}

// cos and sin of 2 pi w / 2^32: the nearest quarter turn exactly, the rest by Taylor series within +-pi/4.
SARCORE_HD void exact_direction(uint32_t w, float& cosine, float& sine) {
    const uint32_t quarter = (w + 0x20000000u) >> 30;
    const float t = static_cast<float>(static_cast<int32_t>(w - (quarter << 30))) * 0x1.921fb6p-30f;
    const float z = t * t;
    float s = 1.0f / 362880.0f, c = 1.0f / 40320.0f;
    s = s * z - 1.0f / 5040.0f;
    c = c * z - 1.0f / 720.0f;
    s = s * z + 1.0f / 120.0f;
    c = c * z + 1.0f / 24.0f;
    s = s * z - 1.0f / 6.0f;
    c = c * z - 0.5f;
    s = s * z * t + t;
    c = c * z + 1.0f;
    const bool swap = (quarter & 1u) != 0;
    const float a = swap ? s : c, b = swap ? c : s;
    const uint32_t minus_cosine = ((quarter + 1u) & 2u) << 30, minus_sine = (quarter & 2u) << 30;
    cosine = bit_cast<float>(bit_cast<uint32_t>(a) ^ minus_cosine);
    sine = bit_cast<float>(bit_cast<uint32_t>(b) ^ minus_sine);
}

}  // namespace sarcore
