// The median over the patches that cover a stretch of columns, on the CPU; in a file of its own because the backward
// pass asks for the same order.
#pragma once

#include "patches/merge_runs.h"

namespace sarcore {

// n <= kMergeBlock columns.
template <typename T, typename F>
void merge_median(const MergeTerm<const T, F>* terms, int count, int n, T* out);

// The gradient of every patch, where `upstream` is that of the median.
template <typename T, typename F>
void merge_median_backward(const MergeTerm<const T, F>* terms, const T* upstream, int count, int n, T* const* gradient);

}  // namespace sarcore
