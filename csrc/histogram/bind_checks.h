// Checks shared by the bindings of the three histogram ops.
#pragma once

#include <cmath>

#include "common/checks.h"
#include "histogram/formula.h"

namespace sarcore {

inline Axis require_axis(double lo, double hi, int bins) {
    if (!(std::isfinite(lo) && std::isfinite(hi) && lo < hi))
        throw py::value_error("range must be two finite numbers, low < high, got (" + std::to_string(lo) + ", " +
                              std::to_string(hi) + ")");
    if (bins < 2 || bins > kMaxBins)
        throw py::value_error("bins must be 2 to " + std::to_string(kMaxBins) + ", got " + std::to_string(bins));
    return {lo, hi, bins};
}

inline Kernel kernel_of(const std::string& name) {
    return choose<Kernel>("kernel", name, {{"linear", Kernel::linear}, {"hard", Kernel::hard}});
}

inline Images images_of(const TensorView& x) { return {x.shape[0] * x.shape[1], x.shape[2] * x.shape[3]}; }

inline DType result_dtype(const TensorView& x) { return x.dtype == DType::f64 ? DType::f64 : DType::f32; }

inline void* require_workspace(const std::optional<TensorView>& workspace, const TensorView& x, int64_t bytes) {
    if (!workspace)
        throw py::value_error("workspace must be a uint8 tensor of " + std::to_string(bytes) +
                              " bytes on a CUDA device, got None");
    require(workspace->dtype == DType::u8 && workspace->contiguous() && workspace->numel() >= bytes, "workspace",
            *workspace, "a contiguous uint8 tensor of at least " + std::to_string(bytes) + " bytes");
    require_same_device(*workspace, "workspace", x, "x");
    return workspace->data;
}

}  // namespace sarcore
