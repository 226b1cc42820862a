// The tables of weights on the device, computed there from formula.h, so that nothing is copied and nothing waits; and
// what a launch needs to know beforehand.
#pragma once

#include "common/cuda.cuh"
#include "resample/kernels.h"

namespace sarcore {

// As Table, but the weights of neighbouring results lie side by side: weight k of result j at k * results + j.
template <typename F>
struct DeviceTable {
    int64_t inputs, results, taps;
    InputRange *reach, *spans;
    F* weights;
};

// What the host knows of a table before it is computed.
struct TableShape {
    int64_t inputs;
    std::vector<InputRange> reach;
    int64_t taps;
    explicit TableShape(int64_t count, std::vector<InputRange> of_results)
        : inputs(count), reach(std::move(of_results)), taps(longest(reach)) {}
    int64_t results() const { return static_cast<int64_t>(reach.size()); }
};

inline int64_t rounded_to_16(int64_t bytes) { return (bytes + 15) / 16 * 16; }

template <typename F>
int64_t table_bytes(const TableShape& shape) {
    return rounded_to_16(shape.results() *
                         (2 * static_cast<int64_t>(sizeof(InputRange)) + shape.taps * static_cast<int64_t>(sizeof(F))));
}

// Places a table at `space` and moves it on.
template <typename F>
DeviceTable<F> place_table(const TableShape& shape, char*& space) {
    InputRange* const reach = reinterpret_cast<InputRange*>(space);
    InputRange* const spans = reach + shape.results();
    const DeviceTable<F> table{shape.inputs, shape.results(), shape.taps,
                               reach,        spans,           reinterpret_cast<F*>(spans + shape.results())};
    space += table_bytes<F>(shape);
    return table;
}

// ------ the tables of a pass, and its tiles

inline constexpr int64_t kSharedBytes = 20 * 1024, kLargestShared = 48 * 1024;
inline constexpr int64_t kTileHeight = 32, kTileWidth = 256;

struct Plan {
    TableShape y, x;                  // of the pass
    std::vector<TableShape> forward;  // those from which they are transposed
    bool rows_first;
    int64_t tile_height, tile_width, shared;  // shared: elements; 0 for two steps

    Plan(const Geometry& g, int64_t element)
        : y(shape_of(g.y, g.backward)), x(shape_of(g.x, g.backward)), rows_first(g.rows_first()) {
        if (g.backward) forward = {shape_of(g.y, false), shape_of(g.x, false)};
        const auto even = [](int64_t n, int64_t most) { return (n - 1) / ((n + most - 1) / most) + 1; };
        tile_height = even(y.results(), kTileHeight);
        tile_width = even(x.results(), kTileWidth);
        while (elements() * element > kSharedBytes && tile_height * tile_width > 1) {
            if (tile_height > 8 || tile_width == 1)
                tile_height = (tile_height + 1) / 2;
            else
                tile_width = (tile_width + 1) / 2;
        }
        shared = elements() * element > kLargestShared ? 0 : elements();
    }
    int64_t elements() const {
        return rows_first ? tile_height * longest_of_tiles(x.reach, tile_width)
                          : longest_of_tiles(y.reach, tile_height) * tile_width;
    }
    template <typename F>
    int64_t bytes() const {
        int64_t sum = table_bytes<F>(y) + table_bytes<F>(x);
        for (const TableShape& shape : forward) sum += table_bytes<F>(shape);
        return sum + (shared ? 0 : y.results() * x.inputs * static_cast<int64_t>(sizeof(F)));
    }

  private:
    static TableShape shape_of(const ResampleAxis& axis, bool backward) {
        return backward ? TableShape(axis.outputs, transposed(spans_of(axis), axis.inputs))
                        : TableShape(axis.inputs, spans_of(axis));
    }
};

// ------ kernels

#ifdef __CUDACC__
template <typename F>
__device__ void compute_result(const ResampleAxis& axis, const DeviceTable<F>& table, int64_t j) {
    InputRange span;
    fill_weights(axis, j, table.results, table.weights + j, span);
    table.reach[j] = span_of(axis, j);
    table.spans[j] = span;
}

template <typename F>
__device__ void transpose_input(const ResampleAxis& axis, const DeviceTable<F>& forward, const DeviceTable<F>& table,
                                int64_t i) {
    // The first result that ends after i, and the first that begins after i: both by bisection.
    InputRange outputs{0, 0};
    for (int64_t high = axis.outputs; outputs.first < high;) {
        const int64_t middle = (outputs.first + high) / 2;
        if (forward.reach[middle].last <= i)
            outputs.first = middle + 1;
        else
            high = middle;
    }
    outputs.last = outputs.first;
    for (int64_t high = axis.outputs; outputs.last < high;) {
        const int64_t middle = (outputs.last + high) / 2;
        if (forward.reach[middle].first <= i)
            outputs.last = middle + 1;
        else
            high = middle;
    }
    const auto read = [&](int64_t j, int64_t pixel) {
        const InputRange s = forward.spans[j];
        return pixel >= s.first && pixel < s.last ? forward.weights[(pixel - s.first) * forward.results + j] : F(0);
    };
    InputRange span;
    fill_transposed(i, outputs, read, table.results, table.weights + i, span);
    table.reach[i] = outputs;
    table.spans[i] = span;
}

// Results of both axes, y before x.
template <typename F>
__global__ void __launch_bounds__(128)
    table_kernel(ResampleAxis y, ResampleAxis x, DeviceTable<F> table_y, DeviceTable<F> table_x) {
    const int64_t stride = int64_t{gridDim.x} * 128;
    for (int64_t j = int64_t{blockIdx.x} * 128 + threadIdx.x; j < y.outputs + x.outputs; j += stride) {
        if (j < y.outputs)
            compute_result(y, table_y, j);
        else
            compute_result(x, table_x, j - y.outputs);
    }
}

template <typename F>
__global__ void __launch_bounds__(128)
    transposed_kernel(ResampleAxis y, ResampleAxis x, DeviceTable<F> forward_y, DeviceTable<F> forward_x,
                      DeviceTable<F> table_y, DeviceTable<F> table_x) {
    const int64_t stride = int64_t{gridDim.x} * 128;
    for (int64_t i = int64_t{blockIdx.x} * 128 + threadIdx.x; i < y.inputs + x.inputs; i += stride) {
        if (i < y.inputs)
            transpose_input(y, forward_y, table_y, i);
        else
            transpose_input(x, forward_x, table_x, i - y.inputs);
    }
}
#endif

}  // namespace sarcore
