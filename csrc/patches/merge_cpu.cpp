// merge_patches on the CPU: mean, max and min. Floor: every patch is read once and every pixel written once.
//
// A run of columns with its covering patches (merge_runs.h) is one vector loop: 1, 2 and 4 patches with everything in
// registers, any other number patch by patch over sums that stay in the first-level cache.
#include <cstring>

#include "patches/merge_median.h"
#include "patches/merge_runs.h"

namespace sarcore {

// ------ vector loops

namespace {

template <int count, typename T, typename F>
SARCORE_HD void mean_of(const MergeTerm<const T, F>* terms, int n, const F* total, F total_y, T* __restrict__ out) {
    const T* patch[count];
    const F* weight[count];
    F weight_y[count];
    for (int k = 0; k < count; ++k) {
        patch[k] = terms[k].patch;
        weight[k] = terms[k].weight;
        weight_y[k] = terms[k].weight_y;
    }
#pragma GCC ivdep
    for (int i = 0; i < n; ++i) {
        MergeMean<F> mean;
#pragma GCC unroll 4
        for (int k = 0; k < count; ++k) mean.add(merge_value(patch[k][i]), weight_y[k] * weight[k][i]);
        out[i] = merge_stored<T>(mean.over(total_y * total[i]));
    }
}

template <typename T, typename F>
SARCORE_HD void mean_of_many(const MergeTerm<const T, F>* terms, int count, int n, const F* total, F total_y,
                             T* __restrict__ out) {
    constexpr MergeMean<F> none;
    F sum[kMergeBlock], low[kMergeBlock], high[kMergeBlock];
    std::fill_n(sum, n, none.sum);
    std::fill_n(low, n, none.low);
    std::fill_n(high, n, none.high);
    for (int k = 0; k < count; ++k) {
        const MergeTerm<const T, F>& term = terms[k];
        for (int i = 0; i < n; ++i) {
            MergeMean<F> mean{sum[i], low[i], high[i]};
            mean.add(merge_value(term.patch[i]), term.weight_y * term.weight[i]);
            sum[i] = mean.sum;
            low[i] = mean.low;
            high[i] = mean.high;
        }
    }
    for (int i = 0; i < n; ++i)
        out[i] = merge_stored<T>(MergeMean<F>{sum[i], low[i], high[i]}.over(total_y * total[i]));
}

template <MergeMode mode, typename T, typename F>
SARCORE_HD void extreme_of(const MergeTerm<const T, F>* terms, int count, int n, T* __restrict__ out) {
    F best[kMergeBlock];
    for (int i = 0; i < n; ++i) best[i] = merge_value(terms[0].patch[i]);
    for (int k = 1; k < count; ++k)
        for (int i = 0; i < n; ++i) {
            const F value = merge_value(terms[k].patch[i]);
            best[i] = merge_replaces<mode>(value, best[i]) ? value : best[i];
        }
    for (int i = 0; i < n; ++i) out[i] = merge_stored<T>(best[i]);
}

}  // namespace

#define SARCORE_DEFINE(T)                                                                                        \
    SARCORE_MULTIVERSION static void mean_block(const MergeTerm<const T, compute_t<T>>* terms, int count, int n, \
                                                const compute_t<T>* total, compute_t<T> total_y, T* out) {       \
        if (count == 2) return mean_of<2>(terms, n, total, total_y, out);                                        \
        if (count == 4) return mean_of<4>(terms, n, total, total_y, out);                                        \
        mean_of_many(terms, count, n, total, total_y, out);                                                      \
    }                                                                                                            \
    SARCORE_MULTIVERSION static void max_block(const MergeTerm<const T, compute_t<T>>* terms, int count, int n,  \
                                               T* out) {                                                         \
        extreme_of<MergeMode::max>(terms, count, n, out);                                                        \
    }                                                                                                            \
    SARCORE_MULTIVERSION static void min_block(const MergeTerm<const T, compute_t<T>>* terms, int count, int n,  \
                                               T* out) {                                                         \
        extreme_of<MergeMode::min>(terms, count, n, out);                                                        \
    }
SARCORE_FOR_MERGE_INPUTS(SARCORE_DEFINE)
#undef SARCORE_DEFINE

// ------ driver

namespace {

// Calls body(terms, n, out) for every stretch of at most kMergeBlock columns. What one patch alone covers is copied.
template <typename T, typename F, typename Body>
void for_stretches(const T* patches, const MergeWindow<F>& window, const MergeLayout& layout, int threads, T* out,
                   const Body& body) {
    const int64_t rows = layout.row_end - layout.row_begin;
    for_merge_runs(patches, window, layout, threads,
                   [&](int64_t channel, int64_t row, const MergeRun& run, auto& terms) {
                       T* const result = out + (channel * rows + row - layout.row_begin) * layout.x.length;
                       for (int64_t at = run.begin; at < run.end; at += kMergeBlock) {
                           const auto n = static_cast<int>(std::min<int64_t>(kMergeBlock, run.end - at));
                           if (terms.size() == 1)
                               memcpy(result + at, terms[0].patch, static_cast<size_t>(n) * sizeof(T));
                           else
                               body(row, at, terms, n, result + at);
                           for (auto& term : terms) {
                               term.patch += n;
                               term.weight += n;
                           }
                       }
                   });
}

template <typename T, typename F>
void mean_cpu(const T* patches, const MergeWindow<F>& window, const MergeLayout& layout, int threads, T* out) {
    const MergeTotals<F> totals(layout, window);
    for_stretches(patches, window, layout, threads, out,
                  [&](int64_t row, int64_t at, const auto& terms, int n, T* result) {
                      F buffer[kMergeBlock];
                      const F* const total = totals.of_columns(terms, at, n, buffer);
                      mean_block(terms.data(), static_cast<int>(terms.size()), n, total, totals.of_row(row), result);
                  });
}

}  // namespace

template <typename T>
void merge_patches_cpu(const T* patches, const MergeWindow<compute_t<T>>& window, const MergeLayout& layout,
                       int threads, T* out) {
    if (layout.mode == MergeMode::mean) return mean_cpu(patches, window, layout, threads, out);
    for_stretches(patches, window, layout, threads, out, [&](int64_t, int64_t, const auto& terms, int n, T* result) {
        const auto count = static_cast<int>(terms.size());
        if (layout.mode == MergeMode::max) return max_block(terms.data(), count, n, result);
        if (layout.mode == MergeMode::min) return min_block(terms.data(), count, n, result);
        merge_median(terms.data(), count, n, result);
    });
}

#define SARCORE_INSTANCE(T) \
    template void merge_patches_cpu<T>(const T*, const MergeWindow<compute_t<T>>&, const MergeLayout&, int, T*);
SARCORE_FOR_MERGE_INPUTS(SARCORE_INSTANCE)
#undef SARCORE_INSTANCE

}  // namespace sarcore
