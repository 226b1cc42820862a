// Lee's refined filter on CUDA, for the launcher of all filters.
#pragma once

#include "despeckle/formula.h"

struct CUstream_st;

namespace sarcore {

template <typename T>
void refined_lee_cuda(const T* x, const uint8_t* mask, Planes planes, const Filter& filter, T* out,
                      CUstream_st* stream);

}  // namespace sarcore
