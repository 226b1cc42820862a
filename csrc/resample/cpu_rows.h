// The vector loops of resample, compiled for three instruction sets. F is float or double.
#pragma once

#include "resample/kernels.h"

namespace sarcore {

// Rows that the horizontal pass takes at once, one per lane: 64 bytes.
template <typename F>
inline constexpr int kRows = 64 / static_cast<int>(sizeof(F));

#define SARCORE_DECLARE_ROWS(F)                                                                                \
    /* out[i] = the sum over k of weights[k] * rows[k * stride + i] */                                         \
    void blend_rows(const F* rows, int64_t stride, const F* weights, int64_t taps, int64_t n, F* out);         \
    /* results a <= j < b of kRows columns-first rows: out[j - a][] = sum of weights * columns[i - first][] */ \
    void blend_columns(const F* columns, int64_t first, const Table<F>& table, int64_t a, int64_t b, F* out);  \
    /* columns[i][r] = rows[r][i] for kRows pointers, and back */                                              \
    void to_columns(const F* const* rows, int64_t n, F* columns);                                              \
    void to_rows(const F* columns, int64_t n, int count, F* const* rows);
SARCORE_DECLARE_ROWS(float)
SARCORE_DECLARE_ROWS(double)
#undef SARCORE_DECLARE_ROWS

#define SARCORE_DECLARE_ELEMENTS(T)                                                                              \
    void load_row(const T* x, int64_t n, int components, compute_t<T>* out);                                     \
    void finish_row(const compute_t<T>* row, int64_t n, int components, const Finish& finish, const T* upstream, \
                    T* out);
SARCORE_FOR_RESAMPLED(SARCORE_DECLARE_ELEMENTS)
#undef SARCORE_DECLARE_ELEMENTS

}  // namespace sarcore
