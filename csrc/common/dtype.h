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

// Round to nearest, ties to even.
template <typename T>
SARCORE_HD T narrow(float v) {
    return static_cast<T>(v);
}
template <>
SARCORE_HD Half narrow<Half>(float v) {
    const uint32_t bits = bit_cast<uint32_t>(v);
    const uint32_t sign = (bits >> 16) & 0x8000u;
    uint32_t scaled = bit_cast<uint32_t>(bit_cast<float>(bits & 0x7fffffffu) * 0x1p-112f);
    scaled += 0x0fffu + ((scaled >> 13) & 1u);
    uint32_t out = scaled >> 13;
    out = out > 0x7c00u ? 0x7c00u : out;
    out = (bits & 0x7fffffffu) > 0x7f800000u ? 0x7e00u : out;
    return Half{static_cast<uint16_t>(sign | out)};
}
template <>
SARCORE_HD BFloat16 narrow<BFloat16>(float v) {
    const uint32_t bits = bit_cast<uint32_t>(v);
    const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
    return BFloat16{static_cast<uint16_t>(nan ? 0x7fc0u : rounded)};
}
SARCORE_HD double narrow_double(double v) { return v; }

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

}  // namespace sarcore
