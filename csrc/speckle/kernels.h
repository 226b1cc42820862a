// What the back ends of speckle offer to the bindings.
#pragma once

#include "speckle/formula.h"

namespace sarcore {

// Tensors of one call. x: count * channels images of height * width elements, or null: the field alone. Complex images
// are pairs of floats. Arrays per image may be null: the scalar stands for all.
struct SpeckleArguments {
    int64_t count, channels, height, width;
    const uint8_t* mask;  // may be null; where it is zero, x stays as it is
    float looks;
    const float* looks_of;  // (count,)
    const int64_t* index;   // (count,): default 0, 1, ...
    int64_t y, x;
    const int64_t* origin;  // (count, 2)
    uint64_t seed;
    SpeckleDomain domain;
    float texture;  // order of the Gamma texture; 0: none
    int radius_y, radius_x;
    const float* taps_y;  // (2 radius + 1,) of unit energy; null: uncorrelated
    const float* taps_x;
    bool conjugate;  // complex: multiply by the conjugate field
    bool refuse;     // negative intensities and amplitudes; gradients may be negative

    SARCORE_HD int64_t pixels() const { return height * width; }
    SARCORE_HD Place place(int64_t image) const {
        const int64_t n = image / channels;
        return {static_cast<uint32_t>(index ? index[n] : n), origin ? origin[2 * n] : y,
                origin ? origin[2 * n + 1] : x};
    }
    SARCORE_HD uint32_t channel(int64_t image) const { return static_cast<uint32_t>(image % channels); }
    SARCORE_HD float looks_for(int64_t image) const { return looks_of ? looks_of[image / channels] : looks; }
};

// True where a valid pixel of an intensity or amplitude image was negative.
template <typename T>
bool speckle_cpu(const T* x, const SpeckleArguments& arguments, int threads, T* out);
bool speckle_complex_cpu(const float* x, const SpeckleArguments& arguments, int threads, float* out);

// On CUDA such a pixel becomes NaN: a check would wait for the device.
template <typename T>
void speckle_cuda(const T* x, const SpeckleArguments& arguments, T* out, int device, void* stream);
void speckle_complex_cuda(const float* x, const SpeckleArguments& arguments, float* out, int device, void* stream);

}  // namespace sarcore
