// The weights of an axis as the host loops read them, and the geometry that both back ends derive from them.
#pragma once

#include <algorithm>
#include <vector>

#include "resample/formula.h"

namespace sarcore {

// For every result the inputs that may have weight; ends never decrease.
inline std::vector<InputRange> spans_of(const ResampleAxis& axis) {
    std::vector<InputRange> spans(static_cast<size_t>(axis.outputs));
    for (int64_t j = 0; j < axis.outputs; ++j) spans[static_cast<size_t>(j)] = span_of(axis, j);
    return spans;
}

inline std::vector<InputRange> transposed(const std::vector<InputRange>& spans, int64_t inputs) {
    const int64_t outputs = static_cast<int64_t>(spans.size());
    std::vector<InputRange> of_inputs(static_cast<size_t>(inputs));
    int64_t low = 0, high = 0;
    for (int64_t i = 0; i < inputs; ++i) {
        while (low < outputs && spans[static_cast<size_t>(low)].last <= i) ++low;
        while (high < outputs && spans[static_cast<size_t>(high)].first <= i) ++high;
        of_inputs[static_cast<size_t>(i)] = {low, std::max(low, high)};
    }
    return of_inputs;
}

inline int64_t longest(const std::vector<InputRange>& spans) {
    int64_t taps = 0;
    for (const InputRange& span : spans) taps = std::max(taps, span.last - span.first);
    return taps;
}

// The largest extent of the inputs of `tile` neighbouring results that start at a multiple of `tile`.
inline int64_t longest_of_tiles(const std::vector<InputRange>& spans, int64_t tile) {
    const int64_t count = static_cast<int64_t>(spans.size());
    int64_t extent = 0;
    for (int64_t j = 0; j < count; j += tile) {
        const InputRange &first = spans[static_cast<size_t>(j)],
                         &last = spans[static_cast<size_t>(std::min(j + tile, count) - 1)];
        extent = std::max(extent, last.last - first.first);
    }
    return extent;
}

template <typename F>
struct Table {
    int64_t inputs, taps;
    std::vector<InputRange> reach;  // what may have weight: ends never decrease
    std::vector<InputRange> spans;  // what has
    std::vector<F> weights;         // of result j from j * taps on
    bool identity;                  // results are the inputs

    int64_t results() const { return static_cast<int64_t>(spans.size()); }
    const F* of(int64_t j) const { return weights.data() + j * taps; }
    InputRange span(int64_t j) const { return spans[static_cast<size_t>(j)]; }
    F weight(int64_t j, int64_t i) const {
        const InputRange s = span(j);
        return i >= s.first && i < s.last ? of(j)[i - s.first] : F(0);
    }
    // The inputs of results a <= j < b.
    InputRange inputs_of(int64_t a, int64_t b) const {
        return {reach[static_cast<size_t>(a)].first, reach[static_cast<size_t>(b - 1)].last};
    }
};

template <typename F>
bool is_identity(const Table<F>& table) {
    bool same = table.results() == table.inputs;
    for (int64_t j = 0; same && j < table.inputs; ++j) {
        const InputRange s = table.span(j);
        same = s.first == j && s.last == j + 1 && table.of(j)[0] == F(1);
    }
    return same;
}

template <typename F>
Table<F> empty_table(int64_t inputs, std::vector<InputRange> reach) {
    const int64_t taps = longest(reach);
    std::vector<InputRange> spans = reach;
    std::vector<F> weights(reach.size() * static_cast<size_t>(taps));
    return {inputs, taps, std::move(reach), std::move(spans), std::move(weights), false};
}

template <typename F>
Table<F> table_of(const ResampleAxis& axis) {
    Table<F> table = empty_table<F>(axis.inputs, spans_of(axis));
    for (int64_t j = 0; j < axis.outputs; ++j)
        fill_weights(axis, j, 1, table.weights.data() + j * table.taps, table.spans[static_cast<size_t>(j)]);
    table.identity = is_identity(table);
    return table;
}

template <typename F>
Table<F> transposed_table_of(const ResampleAxis& axis) {
    const Table<F> forward = table_of<F>(axis);
    Table<F> table = empty_table<F>(axis.outputs, transposed(forward.reach, axis.inputs));
    const auto read = [&](int64_t j, int64_t i) { return forward.weight(j, i); };
    for (int64_t i = 0; i < axis.inputs; ++i)
        fill_transposed(i, table.reach[static_cast<size_t>(i)], read, 1, table.weights.data() + i * table.taps,
                        table.spans[static_cast<size_t>(i)]);
    table.identity = is_identity(table);
    return table;
}

// Both axes of a pass, and which comes first: the one that leaves fewer pixels to the other. Sums run in this order on
// both back ends.
struct Geometry {
    ResampleAxis y, x;
    bool backward;  // from results to inputs, with the transposed tables
    int64_t in_height() const { return backward ? y.outputs : y.inputs; }
    int64_t in_width() const { return backward ? x.outputs : x.inputs; }
    int64_t out_height() const { return backward ? y.inputs : y.outputs; }
    int64_t out_width() const { return backward ? x.inputs : x.outputs; }
    bool rows_first() const { return out_height() < in_height(); }
};

}  // namespace sarcore
