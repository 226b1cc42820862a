// How a CUDA merge is cut: a thread takes `lanes` neighbouring elements of a row of the scene, as many as fill 16 bytes
// where everything is aligned, and visits the patches that cover them. Rows lie side by side in a block, so that narrow
// scenes fill it too.
#pragma once

#include "common/cuda.cuh"
#include "patches/merge.h"

namespace sarcore {

inline constexpr int kMergeThreads = 256;

// 16 bytes of elements, or more weights than that.
template <typename T, int lanes>
struct alignas(sizeof(T) * lanes < 16 ? sizeof(T) * lanes : 16) MergeLanes {
    T values[lanes];
};

template <int lanes, typename T>
__device__ __forceinline__ MergeLanes<T, lanes> merge_load(const T* __restrict__ from) {
    return *reinterpret_cast<const MergeLanes<T, lanes>*>(from);
}
template <int lanes, typename T>
__device__ __forceinline__ void merge_store(T* __restrict__ to, const MergeLanes<T, lanes>& v) {
    *reinterpret_cast<MergeLanes<T, lanes>*>(to) = v;
}

// How a launch is cut: a block takes `rows` rows of `across` spots; `across`, a power of two, divides its threads.
struct MergeLaunch {
    int across, rows;
    int64_t wide, high, units;  // units along a row, along a column, and in all channels
};

inline MergeLaunch merge_launch(const MergeLayout& l, int lanes) {
    const int64_t spots = (l.x.length + lanes - 1) / lanes, rows = l.row_end - l.row_begin;
    MergeLaunch launch{1, 0, 0, 0, 0};
    while (launch.across < kMergeThreads && launch.across < spots) launch.across *= 2;
    launch.wide = (spots + launch.across - 1) / launch.across;
    // Eight rows to a thread, that of the columns is found once; fewer where that left the device idle.
    for (int each = 8; launch.units < 2048 && each > 0; each /= 2) {
        launch.rows = each * (kMergeThreads / launch.across);
        launch.high = (rows + launch.rows - 1) / launch.rows;
        launch.units = launch.wide * launch.high * l.channels;
    }
    return launch;
}

// Elements column .. column + lanes - 1 of a row, and the patches that cover them: the same ones for all lanes.
struct MergeSpot {
    int64_t channel, row, column, first_y, last_y, first_x, last_x;

    // Where the patch row ky holds the row, in elements from patch column 0 on; patch columns are `next` apart.
    __device__ __forceinline__ int64_t in_patches(const MergeLayout& l, int64_t ky) const {
        return l.patch_row(ky, channel) + in_window(l, ky) * l.x.size + column;
    }
    static __device__ __forceinline__ int64_t next(const MergeLayout& l) {
        return l.channels * l.patch_size() - l.x.stride;
    }
    // The row of the window.
    __device__ __forceinline__ int64_t in_window(const MergeLayout& l, int64_t ky) const {
        return row - ky * l.y.stride;
    }
    __device__ __forceinline__ int64_t in_result(const MergeLayout& l) const {
        return (channel * (l.row_end - l.row_begin) + row - l.row_begin) * l.x.length + column;
    }
};

// Calls body(spot) for every spot of the result.
template <int lanes, typename Body>
__device__ __forceinline__ void for_merge_spots(const MergeLayout& l, const MergeLaunch& launch, const Body& body) {
    const int down = kMergeThreads / launch.across;
    const int lane = static_cast<int>(threadIdx.x) % launch.across, own = static_cast<int>(threadIdx.x) / launch.across;
    for (int64_t unit = blockIdx.x; unit < launch.units; unit += gridDim.x) {
        MergeSpot spot{};
        spot.column = (unit % launch.wide * launch.across + lane) * lanes;
        if (spot.column >= l.x.length) continue;
        spot.channel = unit / launch.wide / launch.high;
        spot.first_x = l.x.first(spot.column);
        spot.last_x = l.x.last(spot.column);
        const int64_t top = l.row_begin + unit / launch.wide % launch.high * launch.rows, end = top + launch.rows;
        for (spot.row = top + own; spot.row < end && spot.row < l.row_end; spot.row += down) {
            spot.first_y = l.y.first(spot.row);
            spot.last_y = l.y.last(spot.row);
            body(spot);
        }
    }
}

// Whether neighbouring elements have the same patches, side by side in memory.
template <typename T, typename F>
bool merge_aligned(const MergeLayout& l, const MergeWindow<F>& window, const T* patches, const T* result) {
    constexpr int lanes = 16 / static_cast<int>(sizeof(T));
    return l.x.length % lanes == 0 && l.x.size % lanes == 0 && l.x.stride % lanes == 0 && aligned16(patches) &&
           aligned16(result) && aligned16(window.x) && aligned16(window.grid);
}

template <typename T>
void merge_median_cuda(const T* patches, const MergeLayout& layout, T* out, void* stream);
template <typename T>
void merge_median_backward_cuda(const T* gradient, const T* patches, const MergeLayout& layout, T* out, void* stream);

}  // namespace sarcore
