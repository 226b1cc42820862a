// What the CUDA kernels of the speckle filters share: pixels of a tile as intensities, window sums, results.
#pragma once

#include "common/cuda.cuh"
#include "despeckle/kernels.h"

namespace sarcore {

inline constexpr int kTile = 32;  // a tile is 32 x 32 results: a lane per column, a warp per 8th row
inline constexpr int kTileThreads = 256, kTileWarps = kTileThreads / 32;
inline constexpr int kResults = kTile / kTileWarps;                                                // per thread
inline constexpr int kRowsPerThread = (kTile + kLargestWindow - 1 + kTileWarps - 1) / kTileWarps;  // with the border

SARCORE_HD double intensity_in(Domain domain, double x) {
    switch (domain) {
        case Domain::intensity:
            return intensity_of<Domain::intensity>(x);
        case Domain::amplitude:
            return intensity_of<Domain::amplitude>(x);
        case Domain::db:
            return intensity_of<Domain::db>(x);
        default:
            return intensity_of<Domain::log>(x);
    }
}

SARCORE_HD double unit_in(Domain domain, double intensity) {
    switch (domain) {
        case Domain::intensity:
            return unit_of<Domain::intensity>(intensity);
        case Domain::amplitude:
            return unit_of<Domain::amplitude>(intensity);
        case Domain::db:
            return unit_of<Domain::db>(intensity);
        default:
            return unit_of<Domain::log>(intensity);
    }
}

SARCORE_HD double filtered_by(double m, double v, double x, const Filter& f) {
    switch (f.method) {
        case Method::boxcar:
            return filtered<Method::boxcar>(m, v, x, f);
        case Method::lee:
            return filtered<Method::lee>(m, v, x, f);
        case Method::enhanced_lee:
            return filtered<Method::enhanced_lee>(m, v, x, f);
        case Method::kuan:
            return filtered<Method::kuan>(m, v, x, f);
        case Method::gamma_map:
            return filtered<Method::gamma_map>(m, v, x, f);
        case Method::frost:
            return filtered<Method::frost>(m, v, x, f);
        default:
            return filtered<Method::enl>(m, v, x, f);
    }
}

// One tile of one image.
template <typename T>
struct CudaTile {
    const T* x;  // of the image
    const uint8_t* mask;
    T* out;
    int64_t height, width, y0, x0;

    __device__ CudaTile(const T* all, const uint8_t* all_masks, T* all_out, const Planes& planes, int64_t image,
                        int64_t first_row, int64_t first_column)
        : height(planes.height), width(planes.width), y0(first_row), x0(first_column) {
        const int64_t base = image * height * width;
        x = all + base;
        mask = all_masks ? all_masks + base : nullptr;
        out = all_out + base;
    }
    // Tile `index` of all square ones.
    __device__ static CudaTile square(const T* all, const uint8_t* all_masks, T* all_out, const Planes& planes,
                                      int64_t index) {
        const int64_t across = (planes.width + kTile - 1) / kTile, down = (planes.height + kTile - 1) / kTile;
        return CudaTile(all, all_masks, all_out, planes, index / (across * down), index / across % down * kTile,
                        index % across * kTile);
    }
    __host__ static int64_t tiles(const Planes& p) {
        return p.count * ((p.width + kTile - 1) / kTile) * ((p.height + kTile - 1) / kTile);
    }

    // Where (y, column) is, reflected into the image. Beyond the last tile's results any pixel will do.
    __device__ int64_t address(int64_t y, int64_t column) const {
        y = reflect(y, height);
        column = reflect(column, width);
        return (y < 0 ? 0 : y) * width + (column < 0 ? 0 : column);
    }

    // The intensity of a pixel; 0 where it is no-data.
    __device__ double intensity(T value, uint8_t unmasked, Domain domain, bool& valid) const {
        const double v = static_cast<double>(widen(value));
        const bool negative = (domain == Domain::intensity || domain == Domain::amplitude) && v < 0.0;
        valid = v == v && !negative && unmasked;
        return valid ? intensity_in(domain, v) : 0.0;
    }

    __device__ double load(int64_t y, int64_t column, Domain domain, bool& valid) const {
        const int64_t at = address(y, column);
        return intensity(x[at], mask ? mask[at] : static_cast<uint8_t>(1), domain, valid);
    }

    __device__ void store(int64_t y, int64_t column, Domain domain, bool keep, bool valid, double intensity) const {
        const int64_t at = y * width + column;
        compute_t<T> v = static_cast<compute_t<T>>(unit_in(domain, intensity));
        if (!valid) {
            const bool masked = keep && mask && mask[at] == 0;
            v = masked ? static_cast<compute_t<T>>(widen(x[at])) : static_cast<compute_t<T>>(__builtin_nan(""));
        }
        out[at] = narrow<T>(v);
    }
};

// The sum of `window` of the 64 numbers that a warp holds two per lane, from the lane's own first one on.
__device__ __forceinline__ double warp_window_sum(double first, double second, int window) {
    constexpr unsigned all = 0xffffffffu;
    const int lane = static_cast<int>(threadIdx.x) & 31;
    double total = 0.0;
    for (int k = 0; 1 << k <= window; ++k) {
        const auto ahead = [&](int offset, double& further) {
            const double near = __shfl_sync(all, first, (lane + offset) & 31);
            further = __shfl_sync(all, second, (lane + offset) & 31);
            return lane + offset < 32 ? near : further;
        };
        double further = 0.0;
        if (window >> k & 1) {
            const double piece = ahead(digit_offset(window, k), further);
            total = k == 0 ? piece : total + piece;
        }
        if (2 << k <= window) {
            first = first + ahead(1 << k, further);
            second = second + further;
        }
    }
    return total;
}

// Sums over windows along y of rows x 32 numbers in shared memory, which are overwritten. The thread's results are
// those of its column in the rows warp, warp + 8, ..
__device__ __forceinline__ void column_window_sums(double* values, int rows, int window, double (&total)[kResults]) {
    const int lane = static_cast<int>(threadIdx.x) & 31, warp = static_cast<int>(threadIdx.x) / 32;
    for (int k = 0; 1 << k <= window; ++k) {
        if (window >> k & 1) {
#pragma unroll
            for (int j = 0; j < kResults; ++j) {
                const double piece = values[(warp + kTileWarps * j + digit_offset(window, k)) * kTile + lane];
                total[j] = k == 0 ? piece : total[j] + piece;
            }
        }
        if (2 << k > window) break;
        double next[kRowsPerThread];
#pragma unroll
        for (int j = 0; j < kRowsPerThread; ++j) {
            const int row = warp + kTileWarps * j, other = row + (1 << k);
            next[j] = other < rows ? values[row * kTile + lane] + values[other * kTile + lane] : 0.0;
        }
        __syncthreads();
#pragma unroll
        for (int j = 0; j < kRowsPerThread; ++j) {
            const int row = warp + kTileWarps * j;
            if (row + (1 << k) < rows) values[row * kTile + lane] = next[j];
        }
        __syncthreads();
    }
}

struct WindowSums {
    double sum[kResults], squares[kResults], count[kResults];
};

inline size_t window_sums_bytes(int window) {
    return static_cast<size_t>(3 * (kTile + window - 1) * kTile) * sizeof(double);
}

// Sums of the windows of the thread's results. shared: window_sums_bytes(window), free again after a __syncthreads.
template <typename T>
__device__ WindowSums window_sums(const CudaTile<T>& tile, const Filter& filter, double* shared) {
    const int lane = static_cast<int>(threadIdx.x) & 31, warp = static_cast<int>(threadIdx.x) / 32;
    const int window = filter.window, rows = kTile + window - 1;
    double *const sums = shared, *const squares = sums + rows * kTile, *const counts = squares + rows * kTile;
    bool complete = true;
    for (int r = warp; r < rows; r += kTileWarps) {
        const int64_t y = tile.y0 - filter.radius() + r, column = tile.x0 - filter.radius() + lane;
        bool valid0 = true, valid1 = true;
        const double a = tile.load(y, column, filter.domain, valid0);
        const double b = lane < window - 1 ? tile.load(y, column + kTile, filter.domain, valid1) : 0.0;
        sums[r * kTile + lane] = warp_window_sum(a, b, window);
        squares[r * kTile + lane] = warp_window_sum(a * a, b * b, window);
        double count = window;
        if (!__all_sync(0xffffffffu, valid0 && valid1)) {
            complete = false;
            count = warp_window_sum(valid0 ? 1.0 : 0.0, valid1 ? 1.0 : 0.0, window);
        }
        counts[r * kTile + lane] = count;
    }
    const bool counted = __syncthreads_or(!complete);
    WindowSums result;
    column_window_sums(sums, rows, window, result.sum);
    column_window_sums(squares, rows, window, result.squares);
    if (counted) {
        column_window_sums(counts, rows, window, result.count);
    } else {
        for (int j = 0; j < kResults; ++j) result.count[j] = window * window;
    }
    return result;
}

}  // namespace sarcore
