// Speckle filters on CUDA: those that need the mean and the variance of the window, for the windows that
// cuda_stream.cu leaves, and Frost's.
//
// A block of 256 threads takes a tile of 32 x 32 results. A warp reads a row of the tile with its border, two pixels
// per lane, and sums windows along x by shuffles; these go to shared memory, where the windows along y are summed in
// steps of 1, 2, 4, .. rows. Every thread then has the sums of four results. For Frost the tile of intensities follows
// in shared memory, and a thread goes through the rings of its windows.
// Floor: 2 sizeof(T) bytes per pixel; the borders, (1 + (window - 1) / 32)^2 pixels read per result, come from the
// caches.
#include "despeckle/cuda_refined.h"
#include "despeckle/cuda_stream.h"
#include "despeckle/cuda_tiles.cuh"
#include "despeckle/rings.h"

namespace sarcore {

// ------ kernels

namespace {

template <typename T>
__global__ void __launch_bounds__(kTileThreads)
    moments_kernel(const T* __restrict__ x, const uint8_t* __restrict__ mask, Planes planes, Filter filter,
                   int64_t tiles, T* __restrict__ out) {
    extern __shared__ double moments_shared[];
    const int lane = static_cast<int>(threadIdx.x) & 31, warp = static_cast<int>(threadIdx.x) / 32;
    const bool keep = filter.method != Method::enl;
    for (int64_t index = blockIdx.x; index < tiles; index += gridDim.x) {
        const auto tile = CudaTile<T>::square(x, mask, out, planes, index);
        const WindowSums sums = window_sums(tile, filter, moments_shared);
        __syncthreads();
        for (int j = 0; j < kResults; ++j) {
            const int64_t y = tile.y0 + warp + kTileWarps * j, column = tile.x0 + lane;
            if (y >= planes.height || column >= planes.width) continue;
            bool valid = false;
            const double centre = tile.load(y, column, filter.domain, valid);
            const double inverse = 1.0 / (sums.count[j] > 0.0 ? sums.count[j] : 1.0), m = sums.sum[j] * inverse;
            const double v = variance_of(m, sums.squares[j], inverse);
            tile.store(y, column, keep ? filter.domain : Domain::intensity, keep, valid,
                       filtered_by(m, v, centre, filter));
        }
    }
}

// Intensities of the tile with its border in shared memory, and which of them count.
struct RingSource {
    const double* values;
    const uint8_t* valid;
    int pitch;

    __device__ double at(const double* p, int dy, int dx) const { return p[dy * pitch + dx]; }
    __device__ double pair(const double* p, int dy, int dx) const {
        return dy ? at(p, -dy, dx) + at(p, dy, dx) : at(p, 0, dx);
    }
    __device__ double ring(const double* p, const Ring& ring) const {
        double sum = 0.0;
        for (int k = 0; k < ring.terms; ++k) {
            const int dy = ring.dy[k], dx = ring.dx[k];
            const double term = pair(p, dy, -dx) + (dx ? pair(p, dy, dx) : 0.0);
            sum = k == 0 ? term : sum + term;
        }
        return sum;
    }
    __device__ int count(const uint8_t* p, const Ring& ring) const {
        int sum = 0;
        for (int k = 0; k < ring.terms; ++k) {
            const int dy = ring.dy[k], dx = ring.dx[k];
            for (int sy = 0; sy < (dy ? 2 : 1); ++sy)
                for (int sx = 0; sx < (dx ? 2 : 1); ++sx) sum += p[(sy ? dy : -dy) * pitch + (sx ? dx : -dx)];
        }
        return sum;
    }
};

inline size_t frost_bytes(int window) {
    const size_t pixels = static_cast<size_t>((kTile + window - 1) * (kTile + window - 1));
    return std::max(window_sums_bytes(window), pixels * (sizeof(double) + 1));
}

template <typename T>
__global__ void __launch_bounds__(kTileThreads)
    frost_kernel(const T* __restrict__ x, const uint8_t* __restrict__ mask, Planes planes, Filter filter, Rings rings,
                 int64_t tiles, T* __restrict__ out) {
    extern __shared__ double frost_shared[];
    const int lane = static_cast<int>(threadIdx.x) & 31, warp = static_cast<int>(threadIdx.x) / 32;
    const int radius = filter.radius(), side = kTile + 2 * radius;
    double* const values = frost_shared;
    auto* const flags = reinterpret_cast<uint8_t*>(values + side * side);
    for (int64_t index = blockIdx.x; index < tiles; index += gridDim.x) {
        const auto tile = CudaTile<T>::square(x, mask, out, planes, index);
        const WindowSums sums = window_sums(tile, filter, frost_shared);
        __syncthreads();
        bool complete = true;
        for (int i = static_cast<int>(threadIdx.x); i < side * side; i += kTileThreads) {
            bool valid = false;
            values[i] = tile.load(tile.y0 - radius + i / side, tile.x0 - radius + i % side, filter.domain, valid);
            flags[i] = valid ? 1 : 0;
            complete = complete && valid;
        }
        const bool counted = __syncthreads_or(!complete);
        for (int j = 0; j < kResults; ++j) {
            const int64_t y = tile.y0 + warp + kTileWarps * j, column = tile.x0 + lane;
            if (y >= planes.height || column >= planes.width) continue;
            const int centre = (warp + kTileWarps * j + radius) * side + lane + radius;
            const double inverse = 1.0 / (sums.count[j] > 0.0 ? sums.count[j] : 1.0), m = sums.sum[j] * inverse;
            const double v = variance_of(m, sums.squares[j], inverse);
            const double decay = filtered<Method::frost>(m, v, values[centre], filter);
            const RingSource source{values + centre, flags + centre, side};
            double above = 0.0, below = 0.0;
            for (int r = 0; r < rings.count; ++r) {
                const Ring& ring = rings.ring[r];
                const double distance = exact_sqrt(static_cast<double>(ring.squared));
                const double weight = ring_weight<compute_t<T>>(decay, distance);
                above = above + weight * source.ring(source.values, ring);
                below = below + weight * (counted ? source.count(source.valid, ring) : ring.pixels);
            }
            tile.store(y, column, filter.domain, true, flags[centre] != 0, above / (below > 0.0 ? below : 1.0));
        }
        __syncthreads();
    }
}

template <typename Kernel>
void allow_shared(Kernel kernel, size_t bytes) {
    if (bytes > 48 * 1024)
        cuda_check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)),
                   "despeckle (shared memory)");
}

}  // namespace

// ------ launchers

template <typename T>
void despeckle_cuda(const T* x, const uint8_t* mask, Planes planes, const Filter& filter, T* out, int device,
                    void* stream) {
    const int64_t tiles = CudaTile<T>::tiles(planes);
    if (tiles == 0) return;
    const DeviceGuard guard(device);
    const auto s = static_cast<cudaStream_t>(stream);
    if (filter.method == Method::refined_lee) {
        refined_lee_cuda(x, mask, planes, filter, out, s);
    } else if (filter.method == Method::frost) {
        const size_t bytes = frost_bytes(filter.window);
        allow_shared(frost_kernel<T>, bytes);
        frost_kernel<T>
            <<<grid_for(tiles), kTileThreads, bytes, s>>>(x, mask, planes, filter, Rings(filter.radius()), tiles, out);
        cuda_check(cudaGetLastError(), "despeckle (frost)");
    } else if (!stream_filter_cuda(x, mask, planes, filter, out, s)) {
        const size_t bytes = window_sums_bytes(filter.window);
        allow_shared(moments_kernel<T>, bytes);
        moments_kernel<T><<<grid_for(tiles), kTileThreads, bytes, s>>>(x, mask, planes, filter, tiles, out);
        cuda_check(cudaGetLastError(), "despeckle");
    }
}

#define SARCORE_INSTANCE(T) \
    template void despeckle_cuda<T>(const T*, const uint8_t*, Planes, const Filter&, T*, int, void*);
SARCORE_INSTANCE(Half)
SARCORE_INSTANCE(BFloat16)
SARCORE_INSTANCE(float)
SARCORE_INSTANCE(double)
#undef SARCORE_INSTANCE

}  // namespace sarcore
