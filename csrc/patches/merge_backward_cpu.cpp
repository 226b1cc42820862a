// The backward pass of merge_patches on the CPU. Every pixel belongs to one place of every patch that covers it, so the
// walk of the forward pass writes each element of the gradient once; what no pixel of the rows asked for uses is zero.
// Floor: the gradient is written once (max, min and median read the patches too).
#include <cstring>

#include "patches/merge_median.h"
#include "patches/merge_walk.h"

namespace sarcore {

// ------ vector loops

namespace {

template <typename T, typename F>
SARCORE_HD void mean_loop(const MergeSegment<T, F>& segment, const F* totals, F total_y, const T* gradient,
                          T* __restrict__ out) {
    const F* const total = totals + segment.place;
    const T* const upstream = gradient + segment.place;
    for (int i = 0; i < segment.n; ++i)
        out[i] = merge_stored<T>(
            merge_slope(segment.weight_y[0] * segment.weight[0][i], total_y * total[i], merge_value(upstream[i])));
}

template <typename F>
struct BestRow {
    F best[kMergeColumns];
    int32_t who[kMergeColumns];  // the number of the segment that holds it; -1 before the first one
};

template <MergeMode mode, typename T, typename F>
SARCORE_HD void best_loop(const MergeSegment<const T, F>& segment, int number, BestRow<F>& row) {
    F* __restrict__ best = row.best + segment.place;
    int32_t* __restrict__ who = row.who + segment.place;
    for (int i = 0; i < segment.n; ++i) {
        const F value = merge_value(segment.patch[0][i]);
        const bool replaces = (who[i] < 0) | merge_replaces<mode>(value, best[i]);
        best[i] = replaces ? value : best[i];
        who[i] = replaces ? number : who[i];
    }
}

template <typename T, typename F>
SARCORE_HD void give_loop(const MergeSegment<T, F>& segment, int number, const BestRow<F>& row, const T* gradient,
                          T* __restrict__ out) {
    const int32_t* const who = row.who + segment.place;
    const T* const upstream = gradient + segment.place;
    for (int i = 0; i < segment.n; ++i) out[i] = who[i] == number ? upstream[i] : T{};
}

}  // namespace

#define SARCORE_DEFINE(T)                                                                                              \
    SARCORE_MULTIVERSION static void mean_segment(const MergeSegment<T, compute_t<T>>& segment,                        \
                                                  const compute_t<T>* totals, compute_t<T> total_y, const T* gradient, \
                                                  T* out) {                                                            \
        mean_loop(segment, totals, total_y, gradient, out);                                                            \
    }                                                                                                                  \
    SARCORE_MULTIVERSION static void best_segment(const MergeSegment<const T, compute_t<T>>& segment, MergeMode mode,  \
                                                  int number, BestRow<compute_t<T>>& row) {                            \
        mode == MergeMode::max ? best_loop<MergeMode::max>(segment, number, row)                                       \
                               : best_loop<MergeMode::min>(segment, number, row);                                      \
    }                                                                                                                  \
    SARCORE_MULTIVERSION static void give_segment(const MergeSegment<T, compute_t<T>>& segment, int number,            \
                                                  const BestRow<compute_t<T>>& row, const T* gradient, T* out) {       \
        give_loop(segment, number, row, gradient, out);                                                                \
    }
SARCORE_FOR_MERGE_FLOATING(SARCORE_DEFINE)
#undef SARCORE_DEFINE

// ------ drivers

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

template <typename T, typename F>
void mean_backward(const T* gradient, const MergeWindow<F>& window, const MergeLayout& layout, int threads, T* out) {
    const MergeTotals<F> totals(layout, window);
    const MergeWriter<T> writer(layout.patches());
    for_merge_stretches(layout, threads, [&](const MergeStretch& stretch) {
        F buffer[kMergeColumns];
        const F* const along = totals.of_columns(stretch, buffer);
        for_merge_segments(out, window, layout, stretch, 1, [&](const auto& segment) {
            writer.write(segment.patch[0], segment.n, [&](T* to) {
                mean_segment(segment, along, totals.of_row(stretch), gradient + stretch.of_result(layout), to);
            });
        });
    });
}

template <typename T, typename F>
void extreme_backward(const T* gradient, const T* patches, const MergeWindow<F>& window, const MergeLayout& layout,
                      int threads, T* out) {
    const MergeWriter<T> writer(layout.patches());
    for_merge_stretches(layout, threads, [&](const MergeStretch& stretch) {
        BestRow<F> row;
        std::fill_n(row.best, stretch.size(), F(0));
        std::fill_n(row.who, stretch.size(), -1);
        int number = 0;
        for_merge_segments(patches, window, layout, stretch, 1,
                           [&](const auto& segment) { best_segment(segment, layout.mode, number++, row); });
        number = 0;
        for_merge_segments(out, window, layout, stretch, 1, [&](const auto& segment) {
            writer.write(segment.patch[0], segment.n,
                         [&](T* to) { give_segment(segment, number, row, gradient + stretch.of_result(layout), to); });
            ++number;
        });
    });
}

}  // namespace

template <typename T>
void merge_patches_backward_cpu(const T* gradient, const T* patches, const MergeWindow<compute_t<T>>& window,
                                const MergeLayout& layout, int threads, T* out) {
    clear_outside(layout, threads, out);
    if (layout.mode == MergeMode::mean) return mean_backward(gradient, window, layout, threads, out);
    if (layout.mode == MergeMode::median) return merge_median_backward_cpu(gradient, patches, layout, threads, out);
    extreme_backward(gradient, patches, window, layout, threads, out);
}

#define SARCORE_INSTANCE(T)                                                                           \
    template void merge_patches_backward_cpu<T>(const T*, const T*, const MergeWindow<compute_t<T>>&, \
                                                const MergeLayout&, int, T*);
SARCORE_FOR_MERGE_FLOATING(SARCORE_INSTANCE)
#undef SARCORE_INSTANCE

}  // namespace sarcore
