// Lee's refined filter on CUDA.
//
// A block of 256 threads takes a tile of 32 x 32 results: the intensities with a border of 3 pixels go to shared
// memory, then all 3 x 3 sums; a thread reads nine of these, chooses its half window and sums the 28 pixels of it.
// Floor: 2 sizeof(T) bytes per pixel; about 50 reads of shared memory per pixel are what it costs.
#include "despeckle/cuda_refined.h"
#include "despeckle/cuda_tiles.cuh"
#include "despeckle/refined.h"

namespace sarcore {

namespace {

constexpr int kBorder = 3, kSide = kTile + 2 * kBorder, kNineSide = kSide - 2;

struct HalfSums {
    double sum, squares;
    int count;
};

// corner: of the window, in a tile with its border.
__device__ HalfSums half_sums(const double* corner, const uint8_t* flags, int half) {
    HalfSums total{0.0, 0.0, 0};
    bool first = true;
    for (int q = 0; q < 7; ++q) {
        const Run run = run_of(half, q);
        if (run.length == 0) continue;
        const int at = q * kSide + run.start;
        double sum = corner[at], squares = corner[at] * corner[at];
        total.count += flags[at];
        for (int i = 1; i < run.length; ++i) {
            const double v = corner[at + i];
            sum = sum + v;
            squares = squares + v * v;
            total.count += flags[at + i];
        }
        total.sum = first ? sum : total.sum + sum;
        total.squares = first ? squares : total.squares + squares;
        first = false;
    }
    return total;
}

template <typename T>
__global__ void __launch_bounds__(kTileThreads)
    refined_kernel(const T* __restrict__ x, const uint8_t* __restrict__ mask, Planes planes, Filter filter,
                   int64_t tiles, T* __restrict__ out) {
    __shared__ double values[kSide * kSide], nines[kNineSide * kNineSide];
    __shared__ uint8_t flags[kSide * kSide], counts[kNineSide * kNineSide];
    const int lane = static_cast<int>(threadIdx.x) & 31, warp = static_cast<int>(threadIdx.x) / 32;
    for (int64_t index = blockIdx.x; index < tiles; index += gridDim.x) {
        const auto tile = CudaTile<T>::square(x, mask, out, planes, index);
        const double cu = exact_sqrt(1.0 / filter.looks);
        bool complete = true;
        for (int i = static_cast<int>(threadIdx.x); i < kSide * kSide; i += kTileThreads) {
            bool valid = false;
            values[i] = tile.load(tile.y0 - kBorder + i / kSide, tile.x0 - kBorder + i % kSide, filter.domain, valid);
            flags[i] = valid ? 1 : 0;
            complete = complete && valid;
        }
        const bool counted = __syncthreads_or(!complete);
        for (int i = static_cast<int>(threadIdx.x); i < kNineSide * kNineSide; i += kTileThreads) {
            const int at = i / kNineSide * kSide + i % kNineSide;
            const auto line = [&](int p) { return (values[p] + values[p + 2]) + values[p + 1]; };
            nines[i] = (line(at) + line(at + 2 * kSide)) + line(at + kSide);
            int count = 0;
            for (int p = 0; p < 9; ++p) count += flags[at + p / 3 * kSide + p % 3];
            counts[i] = static_cast<uint8_t>(count);
        }
        __syncthreads();
        for (int j = 0; j < kResults; ++j) {
            const int row = warp + kTileWarps * j;
            const int64_t y = tile.y0 + row, column = tile.x0 + lane;
            if (y >= planes.height || column >= planes.width) continue;
            const auto mean = [&](int p, double otherwise) {
                const int at = (row + p / 3 * 2) * kNineSide + lane + p % 3 * 2;
                return counted ? mean_of_nine<true>(nines[at], counts[at], otherwise)
                               : mean_of_nine<false>(nines[at], 9.0, otherwise);
            };
            const double centre = mean(4, 0.0);
            double means[9];
#pragma unroll
            for (int p = 0; p < 9; ++p) means[p] = p == 4 ? centre : mean(p, centre);
            const int corner = row * kSide + lane, middle = corner + kBorder * kSide + kBorder;
            const HalfSums sums = half_sums(values + corner, flags + corner, half_of(means, cu));
            const double inverse = 1.0 / (sums.count > 0 ? sums.count : 1), m = sums.sum * inverse;
            const double v = variance_of(m, sums.squares, inverse);
            tile.store(y, column, filter.domain, true, flags[middle] != 0,
                       filtered<Method::refined_lee>(m, v, values[middle], filter));
        }
        __syncthreads();
    }
}

}  // namespace

template <typename T>
void refined_lee_cuda(const T* x, const uint8_t* mask, Planes planes, const Filter& filter, T* out,
                      CUstream_st* stream) {
    const int64_t tiles = CudaTile<T>::tiles(planes);
    refined_kernel<T><<<grid_for(tiles), kTileThreads, 0, stream>>>(x, mask, planes, filter, tiles, out);
    cuda_check(cudaGetLastError(), "despeckle (refined_lee)");
}

#define SARCORE_INSTANCE(T) \
    template void refined_lee_cuda<T>(const T*, const uint8_t*, Planes, const Filter&, T*, CUstream_st*);
SARCORE_INSTANCE(Half)
SARCORE_INSTANCE(BFloat16)
SARCORE_INSTANCE(float)
SARCORE_INSTANCE(double)
#undef SARCORE_INSTANCE

}  // namespace sarcore
