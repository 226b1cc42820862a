// merge_patches on the CPU. Floor: every patch is read once and every pixel written once.
//
// The sums (or the best values) of a stretch of a row stay in the first-level cache while the patches that cover it are
// added one by one, each with one vector loop as long as the patch is wide; then the stretch is finished and written.
#include "patches/merge_median.h"
#include "patches/merge_walk.h"

namespace sarcore {

// ------ vector loops

namespace {

template <typename F>
struct MeanRow {
    F sum[kMergeColumns], low[kMergeColumns], high[kMergeColumns];
};

template <bool positive, typename T, typename F>
SARCORE_HD void add_loop(const MergeSegment<const T, F>& segment, MeanRow<F>& row) {
    F* __restrict__ sum = row.sum + segment.place;
    F* __restrict__ low = row.low + segment.place;
    F* __restrict__ high = row.high + segment.place;
    for (int i = 0; i < segment.n; ++i) {
        MergeMean<F> mean{sum[i], low[i], high[i]};
        const F value = merge_value(segment.patch[i]), weight = segment.weight_y * segment.weight[i];
        if constexpr (positive)
            mean.add_positive(value, weight);
        else
            mean.add(value, weight);
        sum[i] = mean.sum;
        low[i] = mean.low;
        high[i] = mean.high;
    }
}

template <typename T, typename F>
SARCORE_HD void finish_loop(const MeanRow<F>& row, const F* total, F total_y, int n, T* __restrict__ out) {
    for (int i = 0; i < n; ++i)
        out[i] = merge_stored<T>(MergeMean<F>{row.sum[i], row.low[i], row.high[i]}.over(total_y * total[i]));
}

template <MergeMode mode, typename T, typename F>
SARCORE_HD void extreme_loop(const MergeSegment<const T, F>& segment, F* row) {
    F* __restrict__ best = row + segment.place;
    for (int i = 0; i < segment.n; ++i) {
        const F value = merge_value(segment.patch[i]);
        best[i] = merge_replaces<mode>(value, best[i]) ? value : best[i];
    }
}

template <typename T, typename F>
SARCORE_HD void store_loop(const F* row, int n, T* __restrict__ out) {
    for (int i = 0; i < n; ++i) out[i] = merge_stored<T>(row[i]);
}

}  // namespace

#define SARCORE_DEFINE(T)                                                                                             \
    SARCORE_MULTIVERSION static void add_segment(const MergeSegment<const T, compute_t<T>>& segment, bool positive,   \
                                                 MeanRow<compute_t<T>>& row) {                                        \
        positive ? add_loop<true>(segment, row) : add_loop<false>(segment, row);                                      \
    }                                                                                                                 \
    SARCORE_MULTIVERSION static void finish(const MeanRow<compute_t<T>>& row, const compute_t<T>* total,              \
                                            compute_t<T> total_y, int n, T* out) {                                    \
        finish_loop(row, total, total_y, n, out);                                                                     \
    }                                                                                                                 \
    SARCORE_MULTIVERSION static void best_segment(const MergeSegment<const T, compute_t<T>>& segment, MergeMode mode, \
                                                  compute_t<T>* row) {                                                \
        mode == MergeMode::max ? extreme_loop<MergeMode::max>(segment, row)                                           \
                               : extreme_loop<MergeMode::min>(segment, row);                                          \
    }                                                                                                                 \
    SARCORE_MULTIVERSION static void store(const compute_t<T>* row, int n, T* out) { store_loop(row, n, out); }
SARCORE_FOR_MERGE_INPUTS(SARCORE_DEFINE)
#undef SARCORE_DEFINE

// ------ driver

namespace {

// No product of two weights is 0: the loops need not ask.
template <typename F>
bool positive(const MergeLayout& layout, const MergeWindow<F>& window) {
    const auto least = [](const F* w, int64_t n) { return *std::min_element(w, w + n); };
    if (window.grid) return least(window.grid, layout.patch_size()) > F(0);
    return least(window.y, layout.y.size) * least(window.x, layout.x.size) > F(0);
}

template <typename T, typename F>
void mean_cpu(const T* patches, const MergeWindow<F>& window, const MergeLayout& layout, int threads, T* out) {
    const MergeTotals<F> totals(layout, window);
    const bool counts = positive(layout, window);
    for_merge_stretches(layout, threads, [&](const MergeStretch& stretch) {
        constexpr MergeMean<F> none;
        MeanRow<F> row;
        const int n = stretch.size();
        std::fill_n(row.sum, n, none.sum);
        std::fill_n(row.low, n, none.low);
        std::fill_n(row.high, n, none.high);
        for_merge_segments(patches, window, layout, stretch,
                           [&](const auto& segment) { add_segment(segment, counts, row); });
        F buffer[kMergeColumns];
        finish(row, totals.of_columns(stretch, buffer), totals.of_row(stretch), n, out + stretch.of_output(layout));
    });
}

template <typename T, typename F>
void extreme_cpu(const T* patches, const MergeWindow<F>& window, const MergeLayout& layout, int threads, T* out) {
    const F infinity = static_cast<F>(__builtin_huge_val());
    for_merge_stretches(layout, threads, [&](const MergeStretch& stretch) {
        F best[kMergeColumns];
        std::fill_n(best, stretch.size(), layout.mode == MergeMode::max ? -infinity : infinity);
        for_merge_segments(patches, window, layout, stretch,
                           [&](const auto& segment) { best_segment(segment, layout.mode, best); });
        store(best, stretch.size(), out + stretch.of_output(layout));
    });
}

}  // namespace

template <typename T>
void merge_patches_cpu(const T* patches, const MergeWindow<compute_t<T>>& window, const MergeLayout& layout,
                       int threads, T* out) {
    if (layout.mode == MergeMode::mean) return mean_cpu(patches, window, layout, threads, out);
    if (layout.mode == MergeMode::median) return merge_median_cpu(patches, layout, threads, out);
    extreme_cpu(patches, window, layout, threads, out);
}

#define SARCORE_INSTANCE(T) \
    template void merge_patches_cpu<T>(const T*, const MergeWindow<compute_t<T>>&, const MergeLayout&, int, T*);
SARCORE_FOR_MERGE_INPUTS(SARCORE_INSTANCE)
#undef SARCORE_INSTANCE

}  // namespace sarcore
