// What the back ends of resample offer to the bindings. Planes are contiguous; with two components each pixel holds a
// real and an imaginary part, which are treated alike.
#pragma once

#include "resample/table.h"

namespace sarcore {

// What happens to a result before it is stored. With `upstream` (of the shape and type of the result) the gradient is
// stored instead, where the result was not clamped.
struct Finish {
    bool clamp;
    double low, high;
};

template <typename T>
void resample_cpu(const T* in, int64_t planes, int components, const Geometry& geometry, const Finish& finish,
                  const T* upstream, int threads, T* out);

// Bytes of device workspace for the tables.
int64_t resample_workspace(const Geometry& geometry, bool wide);
template <typename T>
void resample_cuda(const T* in, int64_t planes, int components, const Geometry& geometry, const Finish& finish,
                   const T* upstream, void* workspace, T* out, int device, void* stream);

}  // namespace sarcore

#define SARCORE_FOR_RESAMPLED(APPLY) \
    APPLY(uint8_t)                   \
    APPLY(uint16_t)                  \
    APPLY(int16_t)                   \
    APPLY(Half)                      \
    APPLY(BFloat16)                  \
    APPLY(float)                     \
    APPLY(double)
