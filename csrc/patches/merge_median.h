// The median on the CPU, in a file of its own because it is found in another way than sums.
#pragma once

#include "patches/merge.h"

namespace sarcore {

template <typename T>
void merge_median_cpu(const T* patches, const MergeLayout& layout, int threads, T* out);
// Writes what the rows asked for make of `out`.
template <typename T>
void merge_median_backward_cpu(const T* gradient, const T* patches, const MergeLayout& layout, int threads, T* out);

}  // namespace sarcore
