// Argument checks of the bindings: every message names the argument, what it was and what is allowed.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>

#include "common/tensor_view.h"

namespace sarcore {

inline void require(bool condition, const std::string& argument, const TensorView& view, const std::string& allowed) {
    if (!condition) throw py::value_error(argument + " must be " + allowed + ", got " + view.describe());
}

inline void require_layout(const TensorView& view, const std::string& argument, int ndim) {
    require(view.ndim == ndim, argument, view, "a tensor with " + std::to_string(ndim) + " dimensions");
    require(view.contiguous(), argument, view, "contiguous");
}

inline void require_same_device(const TensorView& view, const std::string& argument, const TensorView& other,
                                const std::string& other_argument) {
    require(view.cuda == other.cuda && (!view.cuda || view.device == other.device), argument, view,
            "on the device of " + other_argument);
}

inline void require_same_shape(const TensorView& view, const std::string& argument, const TensorView& other,
                               const std::string& other_argument) {
    bool same = view.ndim == other.ndim;
    for (int i = 0; same && i < view.ndim; ++i) same = view.shape[i] == other.shape[i];
    require(same, argument, view, "of the shape of " + other_argument + " " + other.describe());
}

inline void require_output(const TensorView& view, const std::string& argument, DType dtype, const TensorView& input,
                           std::initializer_list<int64_t> shape) {
    require_layout(view, argument, static_cast<int>(shape.size()));
    int i = 0;
    for (int64_t size : shape) require(view.shape[i++] == size, argument, view, "of the shape of the result");
    require(view.dtype == dtype, argument, view, "of the dtype of the result");
    require(view.writable, argument, view, "writable");
    require_same_device(view, argument, input, "the input");
}

// A mask is one byte per pixel, zero for no-data, of exactly the shape of x.
inline const uint8_t* mask_pointer(const std::optional<TensorView>& mask, const TensorView& x) {
    if (!mask) return nullptr;
    require(mask->dtype == DType::u8 || mask->dtype == DType::boolean, "mask", *mask, "bool or uint8");
    require(mask->contiguous(), "mask", *mask, "contiguous");
    require_same_shape(*mask, "mask", x, "x");
    require_same_device(*mask, "mask", x, "x");
    return mask->as<const uint8_t>();
}

// The value that belongs to one of a few words.
template <typename Choice>
Choice choose(const std::string& argument, const std::string& given,
              std::initializer_list<std::pair<const char*, Choice>> choices) {
    std::string allowed;
    for (const auto& [name, value] : choices) {
        if (given == name) return value;
        allowed += (allowed.empty() ? "\"" : ", \"") + std::string(name) + "\"";
    }
    throw py::value_error(argument + " must be one of " + allowed + ", got \"" + given + "\"");
}

// Calls body(T{}) with the element type that belongs to the dtype.
template <typename Body>
void dispatch_real(const TensorView& view, const char* argument, Body&& body) {
    switch (view.dtype) {
        case DType::u8:
            return body(uint8_t{});
        case DType::u16:
            return body(uint16_t{});
        case DType::f16:
            return body(Half{});
        case DType::bf16:
            return body(BFloat16{});
        case DType::f32:
            return body(float{});
        case DType::f64:
            return body(double{});
        default:
            throw py::type_error(std::string(argument) +
                                 " must be uint8, uint16, float16, bfloat16, float32 or float64, got " +
                                 view.describe());
    }
}

template <typename Body>
void dispatch_floating(const TensorView& view, const char* argument, Body&& body) {
    switch (view.dtype) {
        case DType::f16:
            return body(Half{});
        case DType::bf16:
            return body(BFloat16{});
        case DType::f32:
            return body(float{});
        case DType::f64:
            return body(double{});
        default:
            throw py::type_error(std::string(argument) + " must be float16, bfloat16, float32 or float64, got " +
                                 view.describe());
    }
}

inline void require_cuda_build(const TensorView& view, const char* argument) {
#ifndef SARCORE_HAS_CUDA
    if (view.cuda)
        throw std::runtime_error(
            std::string(argument) +
            " is on a CUDA device, but this build of sarcore has no CUDA kernels; build with SARCORE_CUDA=ON");
#else
    (void)view;
    (void)argument;
#endif
}

}  // namespace sarcore
