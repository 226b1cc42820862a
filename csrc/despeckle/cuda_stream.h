// The streaming kernel of the small windows, for the launcher of all filters.
#pragma once

#include "despeckle/formula.h"

struct CUstream_st;

namespace sarcore {

// Filters that need mean and variance alone. False, and nothing done, for a window that has no such kernel.
template <typename T>
bool stream_filter_cuda(const T* x, const uint8_t* mask, Planes planes, const Filter& filter, T* out,
                        CUstream_st* stream);

}  // namespace sarcore
