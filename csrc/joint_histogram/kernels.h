// What the back ends of the joint histogram offer to the bindings.
#pragma once

#include "joint_histogram/formula.h"

namespace sarcore {

// out: images.count * ax.bins * ay.bins, the bin of x first.
template <typename T>
void joint_histogram_cpu(const T* x, const T* y, const uint8_t* mask, Images images, Axis ax, Axis ay, int threads,
                         compute_t<T>* out);

// out_x or out_y may be null: that gradient is not wanted.
template <typename T>
void joint_histogram_backward_cpu(const compute_t<T>* gradient, const T* x, const T* y, const uint8_t* mask,
                                  Images images, Axis ax, Axis ay, int threads, T* out_x, T* out_y);

// One word of 8 bytes per cell: the fixed-point sums.
inline int64_t joint_histogram_workspace(Images images, int bins_x, int bins_y) {
    return images.count * bins_x * bins_y * 8;
}

template <typename T>
void joint_histogram_cuda(const T* x, const T* y, const uint8_t* mask, Images images, Axis ax, Axis ay, void* workspace,
                          compute_t<T>* out, int device, void* stream);
template <typename T>
void joint_histogram_backward_cuda(const compute_t<T>* gradient, const T* x, const T* y, const uint8_t* mask,
                                   Images images, Axis ax, Axis ay, T* out_x, T* out_y, int device, void* stream);

}  // namespace sarcore
