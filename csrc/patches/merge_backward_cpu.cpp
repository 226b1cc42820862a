// The backward pass of merge_patches on the CPU. Every pixel belongs to one place of every patch that covers it, so the
// walk of the forward pass writes each element of the gradient once; what no pixel of the rows asked for uses is zero.
// Floor: the gradient is written once (max, min and median read the patches too).
#include <cstring>

#include "patches/merge_median.h"
#include "patches/merge_runs.h"

namespace sarcore {

// ------ vector loops

namespace {

template <typename T, typename F>
SARCORE_HD void mean_slope(const F* weight, F weight_y, const F* total, F total_y, const T* upstream, int n,
                           T* __restrict__ out) {
#pragma GCC ivdep
    for (int i = 0; i < n; ++i)
        out[i] = merge_stored<T>(merge_slope(weight_y * weight[i], total_y * total[i], merge_value(upstream[i])));
}

template <MergeMode mode, typename T, typename F>
SARCORE_HD void extreme_slope(const MergeTerm<const T, F>* terms, const T* upstream, int count, int n,
                              T* const* gradient) {
    F best[kMergeBlock];
    int32_t who[kMergeBlock];
    std::fill_n(who, n, 0);
    for (int i = 0; i < n; ++i) best[i] = merge_value(terms[0].patch[i]);
    for (int k = 1; k < count; ++k)
        for (int i = 0; i < n; ++i) {
            const F value = merge_value(terms[k].patch[i]);
            const bool replaces = merge_replaces<mode>(value, best[i]);
            best[i] = replaces ? value : best[i];
            who[i] = replaces ? k : who[i];
        }
    for (int k = 0; k < count; ++k) {
        T* __restrict__ out = gradient[k];
        for (int i = 0; i < n; ++i) out[i] = who[i] == k ? upstream[i] : T{};
    }
}

}  // namespace

#define SARCORE_DEFINE(T)                                                                                              \
    SARCORE_MULTIVERSION static void mean_slope_block(const compute_t<T>* weight, compute_t<T> weight_y,               \
                                                      const compute_t<T>* total, compute_t<T> total_y,                 \
                                                      const T* upstream, int n, T* out) {                              \
        mean_slope(weight, weight_y, total, total_y, upstream, n, out);                                                \
    }                                                                                                                  \
    SARCORE_MULTIVERSION static void max_slope_block(const MergeTerm<const T, compute_t<T>>* terms, const T* upstream, \
                                                     int count, int n, T* const* gradient) {                           \
        extreme_slope<MergeMode::max>(terms, upstream, count, n, gradient);                                            \
    }                                                                                                                  \
    SARCORE_MULTIVERSION static void min_slope_block(const MergeTerm<const T, compute_t<T>>* terms, const T* upstream, \
                                                     int count, int n, T* const* gradient) {                           \
        extreme_slope<MergeMode::min>(terms, upstream, count, n, gradient);                                            \
    }
SARCORE_FOR_MERGE_FLOATING(SARCORE_DEFINE)
#undef SARCORE_DEFINE

// ------ driver

namespace {

// Zero where a patch reaches beyond the scene or the rows asked for.
template <typename T>
void clear_outside(const MergeLayout& layout, int threads, T* out) {
    const int64_t w = layout.x.size, patches = layout.held * layout.x.count * layout.channels;
    parallel_for(patches, threads, [&](int64_t index) {
        const int64_t kx = index / layout.channels % layout.x.count;
        const int64_t ky = layout.first_patch_row + index / layout.channels / layout.x.count;
        const int64_t inside = std::min(w, layout.x.length - kx * layout.x.stride);
        T* const patch =
            out + layout.patch_row(ky, 0) + (kx * layout.channels + index % layout.channels) * layout.patch_size();
        for (int64_t j = 0; j < layout.y.size; ++j) {
            const int64_t row = ky * layout.y.stride + j;
            const int64_t kept = row >= layout.row_begin && row < layout.row_end ? inside : 0;
            if (kept < w)
                memset(static_cast<void*>(patch + j * w + kept), 0, static_cast<size_t>(w - kept) * sizeof(T));
        }
    });
}

// Calls body(row, at, terms, upstream, n) for every stretch of at most kMergeBlock columns; the terms are places of
// `out`. What one patch alone covers gets the gradient as it is.
template <typename T, typename F, typename Body>
void for_stretches(const T* gradient, const MergeWindow<F>& window, const MergeLayout& layout, int threads, T* out,
                   const Body& body) {
    const int64_t rows = layout.row_end - layout.row_begin;
    clear_outside(layout, threads, out);
    for_merge_runs(out, window, layout, threads, [&](int64_t channel, int64_t row, const MergeRun& run, auto& terms) {
        const T* const upstream = gradient + (channel * rows + row - layout.row_begin) * layout.x.length;
        for (int64_t at = run.begin; at < run.end; at += kMergeBlock) {
            const auto n = static_cast<int>(std::min<int64_t>(kMergeBlock, run.end - at));
            if (terms.size() == 1)
                memcpy(static_cast<void*>(terms[0].patch), upstream + at, static_cast<size_t>(n) * sizeof(T));
            else
                body(row, at, terms, upstream + at, n);
            for (auto& term : terms) {
                term.patch += n;
                term.weight += n;
            }
        }
    });
}

template <typename T, typename F>
void mean_backward(const T* gradient, const MergeWindow<F>& window, const MergeLayout& layout, int threads, T* out) {
    const MergeTotals<F> totals(layout, window);
    for_stretches(gradient, window, layout, threads, out,
                  [&](int64_t row, int64_t at, const auto& terms, const T* upstream, int n) {
                      F buffer[kMergeBlock];
                      const F* const total = totals.of_columns(terms, at, n, buffer);
                      for (const auto& term : terms)
                          mean_slope_block(term.weight, term.weight_y, total, totals.of_row(row), upstream, n,
                                           term.patch);
                  });
}

}  // namespace

template <typename T>
void merge_patches_backward_cpu(const T* gradient, const T* patches, const MergeWindow<compute_t<T>>& window,
                                const MergeLayout& layout, int threads, T* out) {
    using F = compute_t<T>;
    if (layout.mode == MergeMode::mean) return mean_backward(gradient, window, layout, threads, out);
    for_stretches(gradient, window, layout, threads, out,
                  [&](int64_t, int64_t, const auto& terms, const T* upstream, int n) {
                      std::vector<MergeTerm<const T, F>> values;
                      std::vector<T*> places;
                      for (const auto& term : terms) {
                          values.push_back({patches + (term.patch - out), term.weight, term.weight_y});
                          places.push_back(term.patch);
                      }
                      const auto count = static_cast<int>(terms.size());
                      if (layout.mode == MergeMode::max)
                          return max_slope_block(values.data(), upstream, count, n, places.data());
                      if (layout.mode == MergeMode::min)
                          return min_slope_block(values.data(), upstream, count, n, places.data());
                      merge_median_backward(values.data(), upstream, count, n, places.data());
                  });
}

#define SARCORE_INSTANCE(T)                                                                           \
    template void merge_patches_backward_cpu<T>(const T*, const T*, const MergeWindow<compute_t<T>>&, \
                                                const MergeLayout&, int, T*);
SARCORE_FOR_MERGE_FLOATING(SARCORE_INSTANCE)
#undef SARCORE_INSTANCE

}  // namespace sarcore
