// What the back ends of the histogram offer to the bindings.
#pragma once

#include "histogram/formula.h"

namespace sarcore {

// x: images.count * images.pixels elements; mask: as many bytes or null; out: images.count * bins.
template <typename T>
void histogram_cpu(const T* x, const uint8_t* mask, Images images, Axis axis, Kernel kernel, int threads,
                   compute_t<T>* out);
template <typename T>
void histogram_backward_cpu(const compute_t<T>* gradient, const T* x, const uint8_t* mask, Images images, Axis axis,
                            int threads, T* out);

// workspace: histogram_workspace(images, axis, sizeof(compute_t<T>)) bytes on the device.
inline int64_t histogram_workspace(Images images, Axis axis, int element_size) {
    return images.count * images.chunks() * (axis.bins + 1) * (element_size == 8 ? 8 : 4);
}
template <typename T>
void histogram_cuda(const T* x, const uint8_t* mask, Images images, Axis axis, Kernel kernel, void* workspace,
                    compute_t<T>* out, int device, void* stream);
template <typename T>
void histogram_backward_cuda(const compute_t<T>* gradient, const T* x, const uint8_t* mask, Images images, Axis axis,
                             T* out, int device, void* stream);

}  // namespace sarcore
