// How extract_patches cuts its work on CUDA: tiles of the padded scene, or of each patch where patches are far apart
// (few positions, strides with gaps); which patches a tile reaches into; and the copies from a tile to them, of bytes,
// so that one kernel serves every element type.
#pragma once

#include "common/cuda.cuh"
#include "patches/extract.h"

namespace sarcore {

constexpr int kExtractThreads = 256;
constexpr int kTileWidth = 256;

struct alignas(16) Words {
    uint64_t low, high;
};

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

// body(row, column, number) by all threads for every patch that reaches into the box. The places of a list are sieved
// 256 at a time.
template <typename Body>
__device__ __forceinline__ void for_covering(const PatchLayout& l, const Tiling& t, const int64_t* order,
                                             const Box& box, const Body& body) {
    __shared__ int64_t found[kExtractThreads];
    __shared__ unsigned listed[1];
    const bool sieved = l.index && !t.by_patch;
    Range i{0, 1}, j{0, 1};
    if (sieved) {
        i = {first_after(l, order, box.row - l.h), first_after(l, order, box.row + box.rows - 1)};
    } else if (!t.by_patch) {
        i = reaching(box.row, box.row + box.rows, l.h, l.down, l.count / l.across);
        j = reaching(box.column, box.column + box.columns, l.w, l.right, l.across);
    }
    for (int64_t a = i.first; a < i.last; a += sieved ? kExtractThreads : 1) {
        if (sieved) {
            __syncthreads();
            if (threadIdx.x == 0) listed[0] = 0;
            __syncthreads();
            if (a + threadIdx.x < i.last) {
                const int64_t number = order[a + threadIdx.x], column = l.column(number);
                if (column < box.column + box.columns && column + l.w > box.column)
                    found[atomicAdd(listed, 1u)] = number;
            }
            __syncthreads();
            j.last = listed[0];
        }
        for (int64_t b = j.first; b < j.last; ++b) {
            const bool regular = !sieved && !t.by_patch;
            const int64_t number = regular ? a * l.across + b : sieved ? found[b] : box.patch;
            body(regular ? a * l.down : l.row(number), regular ? b * l.right : l.column(number), number);
        }
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

template <typename Unit>
__device__ __forceinline__ void copy_units(const unsigned char* from, int64_t pitch, int bytes, int rows, int64_t width,
                                           unsigned char* to) {
    const unsigned units = static_cast<unsigned>(bytes) / sizeof(Unit), n = units * static_cast<unsigned>(rows);
    for (unsigned i = threadIdx.x; i < n; i += kExtractThreads) {
        const unsigned row = i / units, unit = i - row * units;
        reinterpret_cast<Unit*>(to + row * width)[unit] = reinterpret_cast<const Unit*>(from + row * pitch)[unit];
    }
}

// Copies a part of a tile to `to`, `size` bytes an element: 16 bytes at once, or fewer where something is not aligned.
__device__ __forceinline__ void copy_part(const unsigned char* tile, int pitch, const Part& part, int size,
                                          int64_t width, unsigned char* to) {
    const unsigned char* from = tile + (part.row * pitch + part.column) * size;
    const int bytes = part.columns * size;
    const auto offsets = static_cast<unsigned>((part.column | part.columns | pitch | width) * size);
    const unsigned places = offsets | static_cast<unsigned>(reinterpret_cast<uintptr_t>(to)) | 16u;
    width *= size;
    switch (places & (~places + 1u)) {  // the largest power of two that divides them all
        case 16:
            return copy_units<Words>(from, pitch * size, bytes, part.rows, width, to);
        case 8:
            return copy_units<uint64_t>(from, pitch * size, bytes, part.rows, width, to);
        case 4:
            return copy_units<uint32_t>(from, pitch * size, bytes, part.rows, width, to);
        case 2:
            return copy_units<uint16_t>(from, pitch * size, bytes, part.rows, width, to);
        default:
            return copy_units<uint8_t>(from, pitch * size, bytes, part.rows, width, to);
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

}  // namespace sarcore
