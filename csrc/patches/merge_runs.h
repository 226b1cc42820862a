// How the CPU walks over a merge: runs of columns that the same patches cover.
//
// A task is a band of rows times a block of columns: about 1000 columns touch a dozen patches per patch row, whose rows
// follow each other in memory, so few enough streams are open for the prefetcher. Inside, row by row and run by run,
// `body` gets the covering patches as terms.
#pragma once

#include <vector>

#include "common/parallel.h"
#include "patches/merge.h"

namespace sarcore {

inline constexpr int kMergeBlock = 256;  // columns that the vector loops take at once

// What one patch gives to a run: its elements, its weights along them, and the weight of the row.
template <typename T, typename F>
struct MergeTerm {
    T* patch;
    const F* weight;
    F weight_y;
};

struct MergeRun {
    int64_t begin, end, first, last;  // columns, patches
};

inline std::vector<MergeRun> merge_runs(const MergeAxis& axis) {
    std::vector<MergeRun> runs;
    for (int64_t at = 0; at < axis.length;) {
        MergeRun run{at, axis.length, axis.first(at), axis.last(at)};
        run.end = std::min(run.end, run.first * axis.stride + axis.size);
        if (run.last + 1 < axis.count) run.end = std::min(run.end, (run.last + 1) * axis.stride);
        runs.push_back(run);
        at = run.end;
    }
    return runs;
}

// The sums of the weights that cover each pixel: a product of two 1-D sums, or one for a stretch of columns.
template <typename F>
class MergeTotals {
  public:
    MergeTotals(const MergeLayout& layout, const MergeWindow<F>& window) {
        if (window.grid) return;
        x_ = along_axis(layout.x, window.x);
        y_ = along_axis(layout.y, window.y);
    }
    F of_row(int64_t row) const { return y_.empty() ? F(1) : y_[static_cast<size_t>(row)]; }
    template <typename T>
    const F* of_columns(const std::vector<MergeTerm<T, F>>& terms, int64_t at, int n, F* buffer) const {
        if (!x_.empty()) return x_.data() + at;
        std::fill_n(buffer, n, F(0));
        for (const auto& term : terms)
            for (int i = 0; i < n; ++i) buffer[i] = buffer[i] + term.weight[i];
        return buffer;
    }

  private:
    static std::vector<F> along_axis(const MergeAxis& axis, const F* window) {
        std::vector<F> totals(static_cast<size_t>(axis.length));
        for (int64_t at = 0; at < axis.length; ++at)
            for (int64_t k = axis.first(at); k <= axis.last(at); ++k)
                totals[static_cast<size_t>(at)] += window[at - k * axis.stride];
        return totals;
    }
    std::vector<F> x_, y_;
};

// Calls body(channel, row, run, terms) for every run of the rows asked for.
template <typename F, typename T, typename Body>
void for_merge_runs(T* patches, const MergeWindow<F>& window, const MergeLayout& layout, int threads,
                    const Body& body) {
    constexpr int64_t kColumns = 1024, kRows = 64;
    const std::vector<MergeRun> runs = merge_runs(layout.x);
    std::vector<size_t> blocks{0};
    for (size_t i = 0; i < runs.size(); ++i)
        if (i + 1 == runs.size() || runs[i].end - runs[blocks.back()].begin >= kColumns) blocks.push_back(i + 1);
    const int64_t rows = layout.row_end - layout.row_begin, bands = (rows + kRows - 1) / kRows;
    const auto block_count = static_cast<int64_t>(blocks.size()) - 1;
    const int64_t next_patch = layout.channels * layout.patch_size();
    const auto task = [&](int64_t index) {
        const auto block = static_cast<size_t>(index % block_count);
        const int64_t band = index / block_count % bands, channel = index / block_count / bands;
        std::vector<MergeTerm<T, F>> terms;
        const int64_t begin = layout.row_begin + band * kRows, end = std::min(begin + kRows, layout.row_end);
        for (int64_t row = begin; row < end; ++row) {
            for (size_t i = blocks[block]; i < blocks[block + 1]; ++i) {
                const MergeRun& run = runs[i];
                terms.clear();
                for (int64_t ky = layout.y.first(row); ky <= layout.y.last(row); ++ky) {
                    const int64_t j = row - ky * layout.y.stride;
                    T* const patch_row = patches + layout.patch_row(ky, channel) + j * layout.x.size;
                    const F* const weights = window.grid ? window.grid + j * layout.x.size : window.x;
                    for (int64_t kx = run.first; kx <= run.last; ++kx) {
                        const int64_t at = run.begin - kx * layout.x.stride;
                        terms.push_back(
                            {patch_row + kx * next_patch + at, weights + at, window.grid ? F(1) : window.y[j]});
                    }
                }
                body(channel, row, run, terms);
            }
        }
    };
    const bool small = rows * layout.x.length * layout.channels < 32768;  // done before a second thread has woken up
    parallel_for(layout.channels * bands * block_count, small ? 1 : threads, task);
}

}  // namespace sarcore
