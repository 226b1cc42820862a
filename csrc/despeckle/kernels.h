// What the back ends of the speckle filters offer to the bindings.
#pragma once

#include "despeckle/formula.h"

namespace sarcore {

// x, out: planes.count * planes.height * planes.width elements; mask: as many bytes or null. The smallest value of a
// valid pixel if that is negative and the domain has no negative values, else 0: the caller refuses such an image.
template <typename T>
double despeckle_cpu(const T* x, const uint8_t* mask, Planes planes, const Filter& filter, int threads, T* out);

// Negative intensities and amplitudes count as NaN: a check would wait for the device.
template <typename T>
void despeckle_cuda(const T* x, const uint8_t* mask, Planes planes, const Filter& filter, T* out, int device,
                    void* stream);

}  // namespace sarcore
