// The kernel of extract_patches on CUDA.
//
// A block converts one tile of the padded scene into shared memory and writes it into every patch that covers it, 16
// bytes per thread where rows align: a logarithm is taken once per pixel of the scene, not once per copy. Patches far
// apart (few positions, strides with gaps) are cut into tiles of their own. Valid pixels are counted in the same pass.
// Floor: one read of the scene and one write of the patches.
#pragma once

#include "common/cuda.cuh"
#include "patches/extract.h"

namespace sarcore {

constexpr int kExtractThreads = 256;
constexpr int kTileWidth = 256;

struct alignas(16) Words {
    uint64_t low, high;
};
template <typename Out, int lanes>
struct alignas(sizeof(Out) * lanes) Lanes {
    Out values[lanes];
};
template <typename Out>
constexpr int tile_elements = sizeof(Out) > 4 ? 2048 : 4096;

__device__ __forceinline__ int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
__device__ __forceinline__ int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

// Where the tiles lie: over an area of the padded scene, or over each patch.
struct Tiling {
    bool by_patch;
    int64_t row, column, height, width;  // the area, or (0, 0) and the sides of a patch
    int64_t down, across;                // tiles along its sides
    int rows, columns;                   // of a tile
};
struct Box {
    int64_t row, column, patch;
    int rows, columns;
};
struct Range {
    int64_t first, last;
};

__device__ __forceinline__ Box box_of(const PatchLayout& l, const Tiling& t, int64_t tile) {
    const int64_t patch = t.by_patch ? tile / (t.down * t.across) : 0, own = tile - patch * t.down * t.across;
    const int64_t row = own / t.across * t.rows, column = own % t.across * t.columns;
    return {(t.by_patch ? l.row(patch) : t.row) + row, (t.by_patch ? l.column(patch) : t.column) + column, patch,
            static_cast<int>(smaller(t.rows, t.height - row)), static_cast<int>(smaller(t.columns, t.width - column))};
}

// The first place of the list, sorted by rows, whose patch begins after `row`.
__device__ __forceinline__ int64_t first_after(const PatchLayout& l, const int64_t* order, int64_t row) {
    int64_t first = 0, last = l.count;
    while (first < last) {
        const int64_t middle = (first + last) / 2;
        if (l.index[2 * order[middle]] <= row)
            first = middle + 1;
        else
            last = middle;
    }
    return first;
}

// The steps of a grid at which patches reach into [begin, end).
__device__ __forceinline__ Range reaching(int64_t begin, int64_t end, int64_t size, int64_t step, int64_t count) {
    return {begin < size ? 0 : (begin - size) / step + 1, smaller((end - 1) / step + 1, count)};
}

// body(row, column, number) by all threads for every patch that reaches into the box.
template <typename Body>
__device__ __forceinline__ void for_covering(const PatchLayout& l, const Tiling& t, const int64_t* order,
                                             const Box& box, const Body& body) {
    __shared__ int64_t found[kExtractThreads];
    __shared__ unsigned listed[1];
    if (t.by_patch) return body(l.row(box.patch), l.column(box.patch), box.patch);
    if (!l.index) {
        const Range i = reaching(box.row, box.row + box.rows, l.h, l.down, l.count / l.across);
        const Range j = reaching(box.column, box.column + box.columns, l.w, l.right, l.across);
        for (int64_t a = i.first; a < i.last; ++a)
            for (int64_t b = j.first; b < j.last; ++b) body(a * l.down, b * l.right, a * l.across + b);
        return;
    }
    const int64_t last = first_after(l, order, box.row + box.rows - 1);
    for (int64_t k = first_after(l, order, box.row - l.h); k < last; k += kExtractThreads) {
        __syncthreads();
        if (threadIdx.x == 0) listed[0] = 0;
        __syncthreads();
        if (k + threadIdx.x < last) {
            const int64_t number = order[k + threadIdx.x], column = l.column(number);
            if (column < box.column + box.columns && column + l.w > box.column) found[atomicAdd(listed, 1u)] = number;
        }
        __syncthreads();
        for (unsigned each = 0; each < listed[0]; ++each) body(l.row(found[each]), l.column(found[each]), found[each]);
    }
}

// The part of a box that a patch takes, from (row, column) within the box.
struct Part {
    int row, column, rows, columns;
};
__device__ __forceinline__ Part part_of(const PatchLayout& l, const Box& box, int64_t row, int64_t column) {
    const int64_t y = larger(box.row, row), x = larger(box.column, column);
    return {static_cast<int>(y - box.row), static_cast<int>(x - box.column),
            static_cast<int>(smaller(box.row + box.rows, row + l.h) - y),
            static_cast<int>(smaller(box.column + box.columns, column + l.w) - x)};
}

template <int lanes, typename Out>
__device__ __forceinline__ void copy_part(const Out* tile, int pitch, const Part& part, int64_t width, Out* to) {
    using Pack = Lanes<Out, lanes>;
    const unsigned packs = static_cast<unsigned>(part.columns) / lanes, n = packs * static_cast<unsigned>(part.rows);
    const Out* from = tile + part.row * pitch + part.column;
    for (unsigned i = threadIdx.x; i < n; i += kExtractThreads) {
        const unsigned row = i / packs, pack = i - row * packs;
        *reinterpret_cast<Pack*>(to + row * width + pack * lanes) =
            *reinterpret_cast<const Pack*>(from + row * static_cast<unsigned>(pitch) + pack * lanes);
    }
}

// data: which pixels of the box lie in the scene and, so far, hold data.
__device__ __forceinline__ void mark_inside(const PatchLayout& l, const Box& box, uint8_t* data, int pitch) {
    for (int i = static_cast<int>(threadIdx.x); i < box.rows * box.columns; i += kExtractThreads) {
        const int row = i / box.columns, column = i - row * box.columns;
        const int64_t y = box.row + row, x = box.column + column;
        data[row * pitch + column] = y >= 0 && y < l.height && x >= 0 && x < l.width;
    }
}

__device__ __forceinline__ void count_part(const uint8_t* data, int pitch, const Part& part,
                                           unsigned long long* count) {
    const int n = part.rows * part.columns;
    unsigned total = 0;
    for (int base = 0; base < n; base += kExtractThreads) {
        const int i = base + static_cast<int>(threadIdx.x), row = i / part.columns, column = i - row * part.columns;
        total += static_cast<unsigned>(
            __popc(__ballot_sync(~0u, i < n && data[(part.row + row) * pitch + part.column + column])));
    }
    if (threadIdx.x % 32 == 0 && total) atomicAdd(count, static_cast<unsigned long long>(total));
}

// Converter: Out of an element by `convert.with(body)`, which calls body(function of an element); is_data(element).
template <typename T, typename Out, typename Converter>
__global__ void __launch_bounds__(kExtractThreads)
    extract_kernel(PatchLayout l, Tiling t, const int64_t* __restrict__ order, const T* __restrict__ scene,
                   Converter convert, bool packed, Out* __restrict__ out, unsigned long long* __restrict__ counts) {
    constexpr int elements = tile_elements<Out>, lanes = 16 / static_cast<int>(sizeof(Out));
    constexpr int words = elements * static_cast<int>(sizeof(Out)) / 16;
    __shared__ Words shared[words];
    __shared__ uint8_t data[elements];
    Out* tile = reinterpret_cast<Out*>(shared);
    const int pitch = t.columns;
    const int64_t tiles = t.down * t.across * (t.by_patch ? l.count : 1);
    for (int64_t work = blockIdx.x; work < tiles; work += gridDim.x) {
        const Box box = box_of(l, t, work);
        if (counts) mark_inside(l, box, data, pitch);
        for (int64_t channel = 0; channel < l.channels; ++channel) {
            __syncthreads();
            convert.with([&](const auto& one) {
                for (int i = static_cast<int>(threadIdx.x); i < box.rows * box.columns; i += kExtractThreads) {
                    const int row = i / box.columns, column = i - row * box.columns, at = row * pitch + column;
                    const int64_t y = source_of(box.row + row, l.height, l.pad);
                    const int64_t x = source_of(box.column + column, l.width, l.pad);
                    if (y < 0 || x < 0) {
                        tile[at] = convert.padding;
                        continue;
                    }
                    const T element = scene[(channel * l.height + y) * l.width + x];
                    tile[at] = one(element);
                    if (counts && !convert.is_data(element)) data[at] = 0;
                }
            });
            __syncthreads();
            for_covering(l, t, order, box, [&](int64_t row, int64_t column, int64_t number) {
                const Part part = part_of(l, box, row, column);
                const int64_t y = box.row + part.row - row, x = box.column + part.column - column;
                Out* to = out + ((number * l.channels + channel) * l.h + y) * l.w + x;
                if (packed && (part.column | part.columns | static_cast<int>(x % lanes)) % lanes == 0)
                    copy_part<lanes>(tile, pitch, part, l.w, to);
                else
                    copy_part<1>(tile, pitch, part, l.w, to);
            });
        }
        __syncthreads();
        if (counts)
            for_covering(l, t, order, box, [&](int64_t row, int64_t column, int64_t number) {
                count_part(data, pitch, part_of(l, box, row, column), counts + number);
            });
        __syncthreads();
    }
}

// ------ launch

inline Tiling tiling_of(const PatchLayout& l, bool sorted, int elements) {
    const auto tiles = [](int64_t length, int64_t tile) { return (length + tile - 1) / tile; };
    const bool gaps = l.down > l.h || l.right > l.w;
    Tiling t{!sorted && (l.index || gaps), 0, 0, l.h, l.w, 0, 0, 0, 0};
    int64_t columns = kTileWidth;
    if (sorted) {  // every place to which a patch that overlaps the scene can reach
        t.row = 1 - l.h;
        t.column = 1 - l.w;
        t.height = l.height + 2 * (l.h - 1);
        t.width = l.width + 2 * (l.w - 1);
    } else if (!t.by_patch) {
        t.height = (l.count / l.across - 1) * l.down + l.h;
        t.width = (l.across - 1) * l.right + l.w;
        if (l.right < kTileWidth) columns = kTileWidth / l.right * l.right;  // tiles end where patches do
    } else {
        columns = (l.w / tiles(l.w, kTileWidth) + 15) / 16 * 16;
    }
    t.columns = static_cast<int>(std::min(columns, int64_t{kTileWidth}));
    t.rows = static_cast<int>(std::min<int64_t>(elements / t.columns, t.height));
    t.down = tiles(t.height, t.rows);
    t.across = tiles(t.width, t.columns);
    return t;
}

template <typename T, typename Out, typename Converter>
void launch_extract(const PatchLayout& l, const int64_t* order, const T* scene, const Converter& convert, Out* out,
                    unsigned long long* counts, int device, void* stream) {
    if (l.count == 0) return;
    const DeviceGuard guard(device);
    const Tiling t = tiling_of(l, order != nullptr, tile_elements<Out>);
    constexpr int lanes = 16 / static_cast<int>(sizeof(Out));
    const bool packed = aligned16(out) && l.w % lanes == 0 && t.columns % lanes == 0;
    const unsigned blocks = grid_for(t.down * t.across * (t.by_patch ? l.count : 1));
    const auto s = static_cast<cudaStream_t>(stream);
    extract_kernel<<<blocks, kExtractThreads, 0, s>>>(l, t, order, scene, convert, packed, out, counts);
    cuda_check(cudaGetLastError(), "extract_patches");
}

}  // namespace sarcore
