// Speckle filters on CUDA for windows of 3 to 7 pixels: mean and variance from registers.
//
// A warp takes a strip of 32 columns and goes down its rows. A row with its border goes to shared memory, one number
// per column; a lane sums the window along x from there, for the intensities and their squares, and keeps the sums
// over 1, 2, 4, .. rows of the last few rows in registers, from which a row of results takes at most four additions
// along y. Counts of valid pixels are integers: bits of a ballot along x, a running sum along y. Floor: 2 sizeof(T)
// bytes per pixel; (1 + (window - 1) / 32) (1 + (window - 1) / band) pixels are read per result.
#include "despeckle/cuda_stream.h"
#include "despeckle/cuda_tiles.cuh"

namespace sarcore {

namespace {

constexpr int kLongBand = 64, kShortBand = 16;  // rows of a strip; short ones fill the device with small images
constexpr int64_t kManyStrips = 8192;

constexpr int top_level(int window) {
    int top = 0;
    while (2 << top <= window) ++top;
    return top;
}

// v[0] + .. + v[n - 1] for a power of two, halves first.
template <int n>
__device__ __forceinline__ double tree_sum(const double* v) {
    if constexpr (n == 1)
        return v[0];
    else
        return tree_sum<n / 2>(v) + tree_sum<n / 2>(v + n / 2);
}

// Pieces from the shortest to the longest.
template <int window>
__device__ __forceinline__ double sum_along_x(const double (&v)[window]) {
    double sum = v[window - 1];
    if constexpr ((window & 2) != 0) sum = sum + tree_sum<2>(v + digit_offset(window, 1));
    if constexpr ((window & 4) != 0) sum = sum + tree_sum<4>(v + digit_offset(window, 2));
    return sum;
}

// history[k][j]: the sum over 2^k rows that was new j rows ago.
template <int window>
struct ColumnSums {
    static constexpr int top = top_level(window);
    double history[top + 1][(1 << top) + 1] = {};

    __device__ __forceinline__ double push(double newest) {
        double sum = newest;
#pragma unroll
        for (int k = 0; k <= top; ++k) {
            if (k > 0) newest = history[k - 1][1 << (k - 1)] + newest;
#pragma unroll
            for (int j = 1 << k; j > 0; --j) history[k][j] = history[k][j - 1];
            history[k][0] = newest;
            if (k > 0 && (window >> k & 1)) sum = sum + history[k][window & ((1 << k) - 1)];
        }
        return sum;
    }
};

// A pixel of a strip as it lies in memory.
template <typename T>
struct RawPixel {
    T value;
    uint8_t mask;
};

// Valid pixels of the windows that end with the newest row: whole numbers, so a running sum is exact.
template <int window>
struct WindowCount {
    int (*ring)[kTile];  // along x, of the last `window` rows, in shared memory
    int lane, total = 0, slot = 0;

    __device__ WindowCount(int (*memory)[kTile], int own) : ring(memory), lane(own) {
        for (int j = 0; j < window; ++j) ring[j][lane] = 0;
    }
    __device__ __forceinline__ int push(uint64_t valid) {
        const int along_x = __popcll(valid >> lane & ((1ull << window) - 1ull));
        total += along_x - ring[slot][lane];
        ring[slot][lane] = along_x;
        slot = slot + 1 < window ? slot + 1 : 0;
        return total;
    }
};

// Result of one pixel from the sums of its window.
template <typename T, int window>
__device__ __forceinline__ void finish(const CudaTile<T>& tile, int64_t y, int64_t column, double sum, double squares,
                                       int count, const Filter& filter) {
    constexpr int whole = window * window;
    const bool keep = filter.method != Method::enl;
    bool valid = false;
    const double centre = tile.load(y, column, filter.domain, valid);
    const double inverse = count == whole ? 1.0 / whole : 1.0 / (count > 0 ? count : 1);
    const double m = sum * inverse, v = variance_of(m, squares, inverse);
    tile.store(y, column, keep ? filter.domain : Domain::intensity, keep, valid, filtered_by(m, v, centre, filter));
}

template <typename T, int window>
__global__ void __launch_bounds__(kTileThreads)
    stream_kernel(const T* __restrict__ x, const uint8_t* __restrict__ mask, Planes planes, Filter filter, int band,
                  int64_t strips, T* __restrict__ out) {
    constexpr int radius = window / 2;
    __shared__ double rows[kTileWarps][kTile + window - 1];
    __shared__ int counts[kTileWarps][window][kTile];
    const int lane = static_cast<int>(threadIdx.x) & 31, warp = static_cast<int>(threadIdx.x) / 32;
    const int64_t across = (planes.width + kTile - 1) / kTile, down = (planes.height + band - 1) / band;
    for (int64_t strip = static_cast<int64_t>(blockIdx.x) * kTileWarps + warp; strip < strips;
         strip += static_cast<int64_t>(gridDim.x) * kTileWarps) {
        const CudaTile<T> tile(x, mask, out, planes, strip / (across * down), strip / across % down * band,
                               strip % across * kTile);
        const int64_t left = planes.height - tile.y0;
        const int steps = static_cast<int>(left < band ? left : band) + window - 1;
        const auto fetch = [&](int t, int column) {
            const int64_t at = tile.address(tile.y0 - radius + t, tile.x0 - radius + column);
            return RawPixel<T>{tile.x[at], static_cast<uint8_t>(tile.mask ? tile.mask[at] : 1)};
        };
        ColumnSums<window> sums, squares;
        WindowCount<window> counter(counts[warp], lane);
        const bool border = lane < window - 1;
        RawPixel<T> next = fetch(0, lane), next_border = border ? fetch(0, lane + kTile) : next;
        for (int t = 0; t < steps; ++t) {
            const RawPixel<T> pixel = next, border_pixel = next_border;
            if (t + 1 < steps) {  // the loads of the next row wait behind the arithmetic of this one
                next = fetch(t + 1, lane);
                if (border) next_border = fetch(t + 1, lane + kTile);
            }
            bool valid = false, border_valid = false;
            rows[warp][lane] = tile.intensity(pixel.value, pixel.mask, filter.domain, valid);
            const double beyond = tile.intensity(border_pixel.value, border_pixel.mask, filter.domain, border_valid);
            if (border) rows[warp][lane + kTile] = beyond;
            const uint64_t beyond_bits = __ballot_sync(0xffffffffu, border_valid);
            const uint64_t bits = beyond_bits << 32 | __ballot_sync(0xffffffffu, valid);
            __syncwarp();
            double v[window], q[window];
#pragma unroll
            for (int k = 0; k < window; ++k) {
                v[k] = rows[warp][lane + k];
                q[k] = v[k] * v[k];
            }
            __syncwarp();
            const double sum = sums.push(sum_along_x<window>(v));
            const double square = squares.push(sum_along_x<window>(q));
            const int count = counter.push(bits);
            const int64_t y = tile.y0 + t - (window - 1), column = tile.x0 + lane;
            if (t >= window - 1 && column < planes.width)
                finish<T, window>(tile, y, column, sum, square, count, filter);
        }
    }
}

template <typename T, int window>
void launch(const T* x, const uint8_t* mask, Planes planes, const Filter& filter, T* out, CUstream_st* stream) {
    const int64_t across = (planes.width + kTile - 1) / kTile;
    const auto strips_of = [&](int band) { return planes.count * across * ((planes.height + band - 1) / band); };
    const int band = strips_of(kLongBand) >= kManyStrips ? kLongBand : kShortBand;
    const int64_t strips = strips_of(band);
    const unsigned grid = grid_for((strips + kTileWarps - 1) / kTileWarps);
    stream_kernel<T, window><<<grid, kTileThreads, 0, stream>>>(x, mask, planes, filter, band, strips, out);
    cuda_check(cudaGetLastError(), "despeckle (stream)");
}

}  // namespace

template <typename T>
bool stream_filter_cuda(const T* x, const uint8_t* mask, Planes planes, const Filter& filter, T* out,
                        CUstream_st* stream) {
    switch (filter.window) {
        case 3:
            launch<T, 3>(x, mask, planes, filter, out, stream);
            return true;
        case 5:
            launch<T, 5>(x, mask, planes, filter, out, stream);
            return true;
        case 7:
            launch<T, 7>(x, mask, planes, filter, out, stream);
            return true;
        default:
            return false;
    }
}

#define SARCORE_INSTANCE(T) \
    template bool stream_filter_cuda<T>(const T*, const uint8_t*, Planes, const Filter&, T*, CUstream_st*);
SARCORE_INSTANCE(Half)
SARCORE_INSTANCE(BFloat16)
SARCORE_INSTANCE(float)
SARCORE_INSTANCE(double)
#undef SARCORE_INSTANCE

}  // namespace sarcore
