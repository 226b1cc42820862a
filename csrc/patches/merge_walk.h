// How the CPU walks over a merge: bands of rows times blocks of columns, row by row, and in a row patch by patch.
//
// A block is narrow enough for the sums of its row to stay in the first-level cache, and touches so few patches, whose
// rows follow each other in memory, that the prefetcher keeps up with all of them.
#pragma once

#include <vector>

#include "common/geometry.h"
#include "common/parallel.h"
#include "common/stream.h"
#include "patches/merge.h"

namespace sarcore {

inline constexpr int kMergeColumns = 1024;  // of a block

// Columns begin .. end - 1 of a row of a channel.
struct MergeStretch {
    int64_t channel, row, begin, end;
    int size() const { return static_cast<int>(end - begin); }
    int64_t of_result(const MergeLayout& layout) const {
        const int64_t rows = layout.row_end - layout.row_begin;
        return (channel * rows + row - layout.row_begin) * layout.x.length + begin;
    }
};

// Calls body(stretch) for all rows asked for.
template <typename Body>
void for_merge_stretches(const MergeLayout& layout, int threads, const Body& body) {
    constexpr int64_t kRows = 64;
    const int64_t rows = layout.row_end - layout.row_begin, bands = (rows + kRows - 1) / kRows;
    const int64_t blocks = (layout.x.length + kMergeColumns - 1) / kMergeColumns;
    const int team = layout.results() < kSerialPixels ? 1 : threads;
    parallel_for(layout.channels * bands * blocks, team, [&](int64_t task) {
        const int64_t begin = task % blocks * kMergeColumns, band = task / blocks % bands;
        const int64_t first = layout.row_begin + band * kRows, last = std::min(first + kRows, layout.row_end);
        for (int64_t row = first; row < last; ++row)
            body(MergeStretch{task / blocks / bands, row, begin, std::min(begin + kMergeColumns, layout.x.length)});
        finish_streaming();
    });
}

// Elements of a result: past the cache where it is large.
template <typename T>
class MergeWriter {
  public:
    explicit MergeWriter(int64_t elements) : large_(elements * static_cast<int64_t>(sizeof(T)) >= kStreamBytes) {}
    // body(to) writes n <= kMergeColumns elements.
    template <typename Body>
    void write(T* out, int n, const Body& body) const {
        if (!large_) return body(out);
        alignas(64) T buffer[kMergeColumns];
        body(buffer);
        stream_bytes(out, buffer, n * static_cast<int64_t>(sizeof(T)));
    }

  private:
    const bool large_;
};

// What a patch gives to a stretch, or two patches one below the other: n elements from `place` of the stretch on, with
// their weights along x and along y (with a 2-D window: those of each element and 1).
template <typename T, typename F>
struct MergeSegment {
    T* patch[2];
    const F* weight[2];
    F weight_y[2];
    int count, place, n;
};

// Asks for n elements that a row further down wants of a patch: a row of each of a dozen patches in turn is more than
// the processor foresees.
template <typename T>
void merge_prefetch(const T* elements, int64_t ahead, int64_t n) {
    constexpr auto size = static_cast<int64_t>(sizeof(T));
    const auto begin = reinterpret_cast<uintptr_t>(elements) + static_cast<uintptr_t>(ahead * size);
    for (int64_t at = 0; at < n * size; at += 64)
        __builtin_prefetch(reinterpret_cast<const void*>(begin + static_cast<uintptr_t>(at)), 0, 2);
}

// Calls body(segment) for every patch that covers a part of the stretch, or every two in neighbouring patch rows, in
// the order of the grid. Without `patches` the segments hold their weights alone.
template <typename F, typename T, typename Body>
void for_merge_segments(T* patches, const MergeWindow<F>& window, const MergeLayout& layout,
                        const MergeStretch& stretch, int together, const Body& body) {
    constexpr int64_t kAhead = 2;  // rows
    const int64_t next_patch = layout.channels * layout.patch_size(), w = layout.x.size;
    const int64_t first_x = layout.x.first(stretch.begin), last_x = layout.x.last(stretch.end - 1);
    const int64_t last_y = layout.y.last(stretch.row);
    for (int64_t ky = layout.y.first(stretch.row); ky <= last_y; ky += together) {
        MergeSegment<T, F> row{};
        row.count = static_cast<int>(std::min<int64_t>(together, last_y - ky + 1));
        for (int i = 0; i < row.count; ++i) {
            const int64_t j = stretch.row - (ky + i) * layout.y.stride;
            row.patch[i] = patches ? patches + layout.patch_row(ky + i, stretch.channel) + j * w : nullptr;
            row.weight[i] = window.grid ? window.grid + j * w : window.x;
            row.weight_y[i] = window.grid ? F(1) : window.y[j];
        }
        for (int64_t kx = first_x; kx <= last_x; ++kx) {
            const int64_t left = kx * layout.x.stride;
            const int64_t begin = std::max(stretch.begin, left), end = std::min(stretch.end, left + w);
            MergeSegment<T, F> segment = row;
            for (int i = 0; i < row.count; ++i) {
                segment.weight[i] += begin - left;
                if (!patches) continue;
                segment.patch[i] += kx * next_patch + begin - left;
                if constexpr (std::is_const_v<T>) merge_prefetch(segment.patch[i], kAhead * w, end - begin);
            }
            segment.place = static_cast<int>(begin - stretch.begin);
            segment.n = static_cast<int>(end - begin);
            body(segment);
        }
    }
}

// The sums of the weights that cover each pixel: the product of two 1-D sums, or the sum of a 2-D window.
template <typename F>
class MergeTotals {
  public:
    MergeTotals(const MergeLayout& layout, const MergeWindow<F>& window) : layout_(layout), window_(window) {
        if (window.grid) return;
        x_ = along(layout.x, window.x);
        y_ = along(layout.y, window.y);
    }
    // One for all columns of a row, which those of the columns are multiplied with.
    F of_row(const MergeStretch& stretch) const { return window_.grid ? F(1) : y_[static_cast<size_t>(stretch.row)]; }
    const F* of_columns(const MergeStretch& stretch, F* buffer) const {
        if (!window_.grid) return x_.data() + stretch.begin;
        std::fill_n(buffer, stretch.size(), F(0));
        for_merge_segments(static_cast<const F*>(nullptr), window_, layout_, stretch, 2, [&](const auto& segment) {
            F* const total = buffer + segment.place;
            for (int i = 0; i < segment.n; ++i) {
                total[i] += segment.weight[0][i];
                if (segment.count == 2) total[i] += segment.weight[1][i];
            }
        });
        return buffer;
    }

  private:
    static std::vector<F> along(const MergeAxis& axis, const F* window) {
        std::vector<F> totals(static_cast<size_t>(axis.length));
        for (int64_t at = 0; at < axis.length; ++at)
            for (int64_t k = axis.first(at), last = axis.last(at); k <= last; ++k)
                totals[static_cast<size_t>(at)] += window[at - k * axis.stride];
        return totals;
    }
    const MergeLayout& layout_;
    const MergeWindow<F>& window_;
    std::vector<F> x_, y_;
};

}  // namespace sarcore
