// merge_patches on the CPU. Floor: every patch is read once and every pixel written once.
//
// The sums (or the best values) of a stretch of a row stay in the first-level cache while the patches that cover it are
// added, two at once where two lie one below the other, with a vector loop as long as a patch is wide.
#include "patches/merge_median.h"
#include "patches/merge_walk.h"

namespace sarcore {

// ------ vector loops

namespace {

template <typename F>
struct MeanRow {
    // The padding keeps the three from meeting at the same addresses modulo 4096, which loads and stores would confuse.
    alignas(64) F sum[kMergeColumns + 32], low[kMergeColumns + 32], high[kMergeColumns + 32];
};

template <int count, bool positive, bool grid, typename T, typename F>
SARCORE_HD void add_loop(const MergeSegment<const T, F>& segment, MeanRow<F>& row) {
    F* __restrict__ sum = row.sum + segment.place;
    F* __restrict__ low = row.low + segment.place;
    F* __restrict__ high = row.high + segment.place;
    const T* const patch[2] = {segment.patch[0], segment.patch[1]};
    const F* const weight[2] = {segment.weight[0], segment.weight[1]};
    const F weight_y[2] = {segment.weight_y[0], segment.weight_y[1]};
    for (int i = 0; i < segment.n; ++i) {
        MergeMean<F> mean;
        mean.sum = sum[i];
        mean.low = low[i];
        mean.high = high[i];
        const F weight_x = grid ? F(1) : weight[0][i];
        mean.template take<positive>(merge_value(patch[0][i]), grid ? weight[0][i] : weight_y[0], weight_x);
        if constexpr (count == 2)
            mean.template take<positive>(merge_value(patch[1][i]), grid ? weight[1][i] : weight_y[1], weight_x);
        mean.add(weight_x);
        sum[i] = mean.sum;
        low[i] = mean.low;
        high[i] = mean.high;
    }
}

template <int count, typename T, typename F>
SARCORE_HD void add_any(const MergeSegment<const T, F>& segment, bool positive, bool grid, MeanRow<F>& row) {
    if (grid) return add_loop<count, false, true>(segment, row);
    positive ? add_loop<count, true, false>(segment, row) : add_loop<count, false, false>(segment, row);
}

template <typename T, typename F>
SARCORE_HD void finish_loop(const MeanRow<F>& row, const F* total, F total_y, int n, T* __restrict__ out) {
    for (int i = 0; i < n; ++i)
        out[i] = merge_stored<T>(MergeMean<F>{row.sum[i], row.low[i], row.high[i], F(0)}.over(total_y * total[i]));
}

template <MergeMode mode, typename T, typename F>
SARCORE_HD void extreme_loop(const MergeSegment<const T, F>& segment, F* row) {
    F* __restrict__ best = row + segment.place;
    for (int i = 0; i < segment.n; ++i) {
        const F value = merge_value(segment.patch[0][i]);
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
                                                 bool grid, MeanRow<compute_t<T>>& row) {                             \
        segment.count == 2 ? add_any<2>(segment, positive, grid, row) : add_any<1>(segment, positive, grid, row);     \
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

// No weight is 0; of a 2-D window that is not asked.
template <typename F>
bool positive(const MergeLayout& layout, const MergeWindow<F>& window) {
    const auto above = [](const F* w, int64_t n) { return *std::min_element(w, w + n) > F(0); };
    return above(window.y, layout.y.size) && above(window.x, layout.x.size);
}

template <typename T, typename F>
void mean_cpu(const T* patches, const MergeWindow<F>& window, const MergeLayout& layout, int threads, T* out) {
    const MergeTotals<F> totals(layout, window);
    const MergeWriter<T> writer(layout.results());
    const bool all_positive = positive(layout, window), grid = window.grid != nullptr;
    for_merge_stretches(layout, threads, [&](const MergeStretch& stretch) {
        constexpr MergeMean<F> none;
        MeanRow<F> row;
        const int n = stretch.size();
        std::fill_n(row.sum, n, none.sum);
        std::fill_n(row.low, n, none.low);
        std::fill_n(row.high, n, none.high);
        for_merge_segments(patches, window, layout, stretch, 2,
                           [&](const auto& segment) { add_segment(segment, all_positive, grid, row); });
        F buffer[kMergeColumns];
        const F* const total = totals.of_columns(stretch, buffer);
        writer.write(out + stretch.of_result(layout), n,
                     [&](T* to) { finish(row, total, totals.of_row(stretch), n, to); });
    });
}

template <typename T, typename F>
void extreme_cpu(const T* patches, const MergeWindow<F>& window, const MergeLayout& layout, int threads, T* out) {
    const MergeWriter<T> writer(layout.results());
    const F infinity = static_cast<F>(__builtin_huge_val());
    for_merge_stretches(layout, threads, [&](const MergeStretch& stretch) {
        alignas(64) F best[kMergeColumns];
        std::fill_n(best, stretch.size(), layout.mode == MergeMode::max ? -infinity : infinity);
        for_merge_segments(patches, window, layout, stretch, 1,
                           [&](const auto& segment) { best_segment(segment, layout.mode, best); });
        writer.write(out + stretch.of_result(layout), stretch.size(), [&](T* to) { store(best, stretch.size(), to); });
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
