// Element types, and float16 / bfloat16 arithmetic through float32, the same bits on host and device.
#pragma once

#include <cstdint>
#include <cstring>

#ifdef __CUDACC__
#define SARCORE_HD __host__ __device__ __forceinline__
#else
#define SARCORE_HD inline __attribute__((always_inline))
#endif

namespace sarcore {

enum class DType { u8, u16, i16, i32, i64, f16, bf16, f32, f64, c64, boolean, other };

inline int size_of(DType type) {
    static constexpr int sizes[] = {1, 2, 2, 4, 8, 2, 2, 4, 8, 8, 1, 0};
    return sizes[static_cast<int>(type)];
}

struct Half {
    uint16_t bits;
};
struct BFloat16 {
    uint16_t bits;
};

template <typename To, typename From>
SARCORE_HD To bit_cast(From from) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    memcpy(&to, &from, sizeof(To));
    return to;
}

// Shifted into float32's place the exponent is too small by 2^112; infinity and NaN come out as >= 2^16 and get the
// full exponent back.
SARCORE_HD float widen(Half h) {
    const float magnitude = bit_cast<float>(static_cast<uint32_t>(h.bits & 0x7fffu) << 13) * 0x1p112f;
    const uint32_t bits = bit_cast<uint32_t>(magnitude);
    const uint32_t special = magnitude >= 65536.0f ? 0x7f800000u : 0u;
    return bit_cast<float>(bits | special | (static_cast<uint32_t>(h.bits & 0x8000u) << 16));
}
SARCORE_HD float widen(BFloat16 b) { return bit_cast<float>(static_cast<uint32_t>(b.bits) << 16); }
SARCORE_HD float widen(uint8_t v) { return static_cast<float>(v); }
SARCORE_HD float widen(uint16_t v) { return static_cast<float>(v); }
SARCORE_HD float widen(float v) { return v; }
SARCORE_HD double widen(double v) { return v; }

// The type in which an element is computed with: float32 for everything up to float32, float64 for float64.
template <typename T>
struct Compute {
    using type = float;
};
template <>
struct Compute<double> {
    using type = double;
};
template <typename T>
using compute_t = typename Compute<T>::type;

// The integer nearest to 0 <= v < 2^52, ties to even, without a library call.
SARCORE_HD double nearest_integer(double v) { return (v + 0x1p52) - 0x1p52; }

// float16 of a double, rounded once, to nearest, ties to even.
SARCORE_HD Half half_of(double v) {
    const uint64_t bits = bit_cast<uint64_t>(v);
    const uint64_t size = bits & 0x7fffffffffffffffull;
    const uint32_t sign = static_cast<uint32_t>(bits >> 48) & 0x8000u;
    const double magnitude = bit_cast<double>(size);
    // Normal numbers: drop 42 of the 52 bits of the significand and move the exponent's bias from 1023 to 15.
    const uint64_t dropped = (size + 0x1ffffffffffull + ((size >> 42) & 1u)) >> 42;
    uint32_t out = static_cast<uint32_t>(dropped) - (1008u << 10);
    out = magnitude < 0x1p-14 ? static_cast<uint32_t>(nearest_integer((magnitude < 1.0 ? magnitude : 1.0) * 0x1p24))
                              : out;
    out = magnitude >= 65520.0 ? 0x7c00u : out;
    out = magnitude == magnitude ? out : 0x7e00u;
    return Half{static_cast<uint16_t>(sign | out)};
}

SARCORE_HD BFloat16 bfloat16_of(float v) {
    const uint32_t bits = bit_cast<uint32_t>(v);
    const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
    return BFloat16{static_cast<uint16_t>(nan ? 0x7fc0u : rounded)};
}

// A computed value as an element: rounded to nearest, ties to even.
template <typename T>
SARCORE_HD T narrow(compute_t<T> v) {
    return v;
}
template <>
SARCORE_HD Half narrow<Half>(float v) {
    return half_of(static_cast<double>(v));
}
template <>
SARCORE_HD BFloat16 narrow<BFloat16>(float v) {
    return bfloat16_of(v);
}

}  // namespace sarcore
