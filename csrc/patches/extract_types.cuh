// Element types that are known when a kernel runs, as branches that are uniform over the launch.
#pragma once

#include "radiometry/formula.h"

namespace sarcore {

// body(T{}) of an element type.
template <typename Body>
__device__ __forceinline__ void with_type(DType type, const Body& body) {
    switch (type) {
        case DType::u8:
            return body(uint8_t{});
        case DType::u16:
            return body(uint16_t{});
        case DType::i16:
            return body(int16_t{});
        case DType::i32:
            return body(int32_t{});
        case DType::i64:
            return body(int64_t{});
        case DType::f16:
            return body(Half{});
        case DType::bf16:
            return body(BFloat16{});
        case DType::f32:
            return body(float{});
        case DType::f64:
            return body(double{});
        default:
            return body(Complex64{});
    }
}

// Scenes have elements that are computed with in F: all of them in float64, all but float64 in float32.
template <typename T, typename F>
constexpr bool loads_as =
    !std::is_same_v<T, int32_t> && !std::is_same_v<T, int64_t> && std::is_same_v<wider_t<T, F>, F>;

// The declaration with its value for no-data as it would stand in an array of the type.
inline Radiometry declared_for(DType type, Radiometry r) {
    if (type == DType::f16) r.nodata = rounded_to<Half>(r.nodata);
    if (type == DType::bf16) r.nodata = rounded_to<BFloat16>(r.nodata);
    if (type == DType::f32 || type == DType::c64) r.nodata = rounded_to<float>(r.nodata);
    return r;
}

}  // namespace sarcore
