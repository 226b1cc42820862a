// Histogram loss on CUDA.
//
// forward:  a block of 256 threads takes a chunk of 8192 pixel pairs; thread l is lane l of the residual sum
// (histogram_loss/formula.h), and both
//           histograms are counted into one table of differences in shared memory. finish: a block per image adds the
//           chunks in order and writes loss and gradient table. mean: the channels of an image.
// backward: a block per chunk, one table look-up per pixel and gradient.
// Floor:    2 sizeof(T) bytes read per pixel forward; 2 read and 2 written backward.
#include <cmath>

#include "common/cuda.cuh"
#include "histogram_loss/kernels.h"

namespace sarcore {

// ------ kernels

namespace {

constexpr int kThreads = kLanes;
constexpr int kWarps = kThreads / 32;
constexpr int kSharedBytes = 48 * 1024;

// The order of tree_sum, with a thread per lane. The result stands in lanes[0].
__device__ __forceinline__ void block_tree_sum(double* lanes) {
    __syncthreads();
    for (int step = kLanes / 2; step > 0; step /= 2) {
        if (static_cast<int>(threadIdx.x) < step)
            lanes[threadIdx.x] += lanes[threadIdx.x + static_cast<unsigned>(step)];
        __syncthreads();
    }
}

// A chunk's record in the workspace: bins differences, the residual sum (double), the number of valid pixels.
template <typename T, bool hard>
__global__ void __launch_bounds__(kThreads)
    difference_kernel(const T* __restrict__ x, const T* __restrict__ y, const uint8_t* __restrict__ mask, Images images,
                      LossSettings s, int copies, long long* __restrict__ records) {
    using F = compute_t<T>;
    using C = cell_t<F>;
    extern __shared__ unsigned long long shared[];
    __shared__ double lanes[kLanes];
    __shared__ int valid_pixels;
    C* const tables = reinterpret_cast<C*>(shared);
    const int bins = s.axis.bins, pitch = bins + 2;
    C* const own = tables + (static_cast<int>(threadIdx.x) / 32 % copies) * pitch;
    const F lo = static_cast<F>(s.axis.lo), scale = axis_scale<F>(s.axis), top = static_cast<F>(bins - 1);
    const int64_t chunks = images.chunks();

    for (int64_t work = blockIdx.x; work < images.count * chunks; work += gridDim.x) {
        for (int i = static_cast<int>(threadIdx.x); i < copies * pitch; i += kThreads) tables[i] = 0;
        if (threadIdx.x == 0) valid_pixels = 0;
        __syncthreads();
        const int64_t begin = work % chunks * kChunk, base = work / chunks * images.pixels + begin;
        const int n = static_cast<int>(images.pixels - begin < kChunk ? images.pixels - begin : kChunk);
        double lane = 0;
        int valid = 0;
#pragma unroll 4
        for (int i = static_cast<int>(threadIdx.x); i < n; i += kThreads) {
            const T a = x[base + i], b = y[base + i];
            const F vx = widen(a), vy = widen(b);
            position_t<F> at_x = trash_position<F>(bins), at_y = at_x;
            if (vx == vx && vy == vy && (!mask || mask[base + i])) {
                at_x = hard ? static_cast<position_t<F>>(hard_bin(a, s.axis)) << Fixed<F>::bits
                            : fixed_position(vx, lo, scale, top);
                at_y = hard ? static_cast<position_t<F>>(hard_bin(b, s.axis)) << Fixed<F>::bits
                            : fixed_position(vy, lo, scale, top);
                lane += residual(vx, vy, s.spatial);
                ++valid;
            }
            add_mass(own, at_x, false);
            add_mass(own, at_y, true);
        }
        lanes[threadIdx.x] = lane;
        atomicAdd(&valid_pixels, valid);
        block_tree_sum(lanes);
        long long* const record = records + work * (bins + 2);
        for (int k = static_cast<int>(threadIdx.x); k < bins; k += kThreads) {
            C sum = 0;
            for (int copy = 0; copy < copies; ++copy) sum += tables[copy * pitch + k];
            record[k] = static_cast<typename Cell<F>::difference>(sum);
        }
        if (threadIdx.x == 0) {
            record[bins] = __double_as_longlong(lanes[0]);
            record[bins + 1] = valid_pixels;
        }
        __syncthreads();
    }
}

template <typename F>
__global__ void __launch_bounds__(kThreads)
    finish_kernel(const long long* __restrict__ records, Images images, LossSettings s, double* __restrict__ rows,
                  F* __restrict__ table) {
    extern __shared__ __align__(16) unsigned char finish_shared[];
    __shared__ double lanes[kLanes];
    __shared__ double residual_sum, pixels;
    total_t<F>* const difference = reinterpret_cast<total_t<F>*>(finish_shared);
    const int bins = s.axis.bins, pitch = bins + 2;
    const int64_t chunks = images.chunks();
    for (int64_t image = blockIdx.x; image < images.count; image += gridDim.x) {
        for (int k = static_cast<int>(threadIdx.x); k < bins; k += kThreads) {
            total_t<F> sum = 0;
            for (int64_t c = image * chunks; c < (image + 1) * chunks; ++c) sum += records[c * pitch + k];
            difference[k] = sum;
        }
        __syncthreads();
        if (threadIdx.x == 0) {
            double sum = 0, count = 0;
            for (int64_t c = image * chunks; c < (image + 1) * chunks; ++c) {
                sum += __longlong_as_double(records[c * pitch + bins]);
                count += static_cast<double>(records[c * pitch + bins + 1]);
            }
            residual_sum = sum;
            pixels = count;
            if (s.distance == Distance::emd)
                for (int k = 1; k < bins; ++k) difference[k] += difference[k - 1];
        }
        __syncthreads();
        F* const row = table + image * s.table_size();
        if (pixels == 0) {
            for (int j = static_cast<int>(threadIdx.x); j < s.table_size(); j += kThreads) row[j] = F(0);
            if (threadIdx.x == 0) rows[image] = nan("");
        } else {
            double lane = 0;
            const double scale = mass_scale<F>(s, pixels);
            for (int k = static_cast<int>(threadIdx.x); k < bins; k += kThreads)
                lane += distance_term(mass_difference<F>(difference[k], scale), s.distance);
            lanes[threadIdx.x] = lane;
            block_tree_sum(lanes);
            for (int j = static_cast<int>(threadIdx.x); j < bins; j += kThreads)
                row[j] = loss_slope<F>(difference, j, s, pixels);
            if (threadIdx.x == 0) {
                row[bins] = spatial_factor<F>(s, pixels);
                rows[image] = row_loss(lanes[0], residual_sum, pixels, s);
            }
        }
        __syncthreads();
    }
}

template <typename F>
__global__ void mean_kernel(const double* __restrict__ rows, int64_t batch, int64_t channels, F* __restrict__ loss) {
    for (int64_t n = blockIdx.x * static_cast<int64_t>(blockDim.x) + threadIdx.x; n < batch;
         n += gridDim.x * static_cast<int64_t>(blockDim.x)) {
        double sum = 0;
        for (int64_t c = 0; c < channels; ++c) sum += rows[n * channels + c];
        loss[n] = static_cast<F>(sum / static_cast<double>(channels));
    }
}

template <typename T>
__global__ void __launch_bounds__(kThreads)
    gradient_kernel(const compute_t<T>* __restrict__ gradient, const T* __restrict__ x, const T* __restrict__ y,
                    const uint8_t* __restrict__ mask, const compute_t<T>* __restrict__ table, Images images,
                    LossSettings s, T* __restrict__ out_x, T* __restrict__ out_y) {
    using F = compute_t<T>;
    extern __shared__ unsigned long long gradient_shared[];
    F* const scaled = reinterpret_cast<F*>(gradient_shared);
    const int bins = s.axis.bins;
    const F lo = static_cast<F>(s.axis.lo), scale = axis_scale<F>(s.axis), top = static_cast<F>(bins - 1);
    const int64_t chunks = images.chunks();
    for (int64_t work = blockIdx.x; work < images.count * chunks; work += gridDim.x) {
        const int64_t image = work / chunks, begin = work % chunks * kChunk, base = image * images.pixels + begin;
        const F upstream = gradient[image / s.channels];
        for (int j = static_cast<int>(threadIdx.x); j < s.table_size(); j += kThreads)
            scaled[j] = table[image * s.table_size() + j] * upstream;
        __syncthreads();
        const int n = static_cast<int>(images.pixels - begin < kChunk ? images.pixels - begin : kChunk);
#pragma unroll 4
        for (int i = static_cast<int>(threadIdx.x); i < n; i += kThreads) {
            const F vx = widen(x[base + i]), vy = widen(y[base + i]);
            const bool counts = vx == vx && vy == vy && (!mask || mask[base + i]);
            const F spatial = residual_slope(vx, vy, scaled[bins], s.spatial);
            if (out_x) out_x[base + i] = narrow<T>(counts ? scaled[slope_index(vx, lo, scale, top)] + spatial : F(0));
            if (out_y)
                out_y[base + i] = narrow<T>(counts ? -(scaled[slope_index(vy, lo, scale, top)] + spatial) : F(0));
        }
        __syncthreads();
    }
}

}  // namespace

// ------ launchers

template <typename T>
void histogram_loss_cuda(const T* x, const T* y, const uint8_t* mask, Images images, LossSettings settings,
                         void* workspace, compute_t<T>* loss, compute_t<T>* table, int device, void* stream) {
    using F = compute_t<T>;
    if (images.count == 0) return;
    const DeviceGuard guard(device);
    const auto s = static_cast<cudaStream_t>(stream);
    auto* records = static_cast<long long*>(workspace);
    auto* rows = reinterpret_cast<double*>(records + images.count * images.chunks() * (settings.axis.bins + 2));
    const int bytes = (settings.axis.bins + 2) * static_cast<int>(sizeof(cell_t<F>));
    const int copies = std::clamp(kSharedBytes / 2 / bytes, 1, kWarps);
    const unsigned grid = grid_for(images.count * images.chunks());
    const auto shared = static_cast<size_t>(copies * bytes);
    if (settings.kernel == Kernel::hard) {
        difference_kernel<T, true><<<grid, kThreads, shared, s>>>(x, y, mask, images, settings, copies, records);
    } else {
        difference_kernel<T, false><<<grid, kThreads, shared, s>>>(x, y, mask, images, settings, copies, records);
    }
    cuda_check(cudaGetLastError(), "histogram_loss (count)");
    const size_t masses = static_cast<size_t>(settings.axis.bins) * sizeof(total_t<F>);
    if (masses > kSharedBytes / 2)
        cuda_check(cudaFuncSetAttribute(finish_kernel<F>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                        static_cast<int>(masses)),
                   "histogram_loss (shared memory)");
    finish_kernel<F><<<grid_for(images.count), kThreads, masses, s>>>(records, images, settings, rows, table);
    cuda_check(cudaGetLastError(), "histogram_loss (finish)");
    const int64_t batch = images.count / settings.channels;
    mean_kernel<F>
        <<<grid_for((batch + kThreads - 1) / kThreads), kThreads, 0, s>>>(rows, batch, settings.channels, loss);
    cuda_check(cudaGetLastError(), "histogram_loss (mean)");
}

template <typename T>
void histogram_loss_backward_cuda(const compute_t<T>* gradient, const T* x, const T* y, const uint8_t* mask,
                                  const compute_t<T>* table, Images images, LossSettings settings, T* out_x, T* out_y,
                                  int device, void* stream) {
    if (images.count * images.pixels == 0) return;
    const DeviceGuard guard(device);
    const size_t bytes = static_cast<size_t>(settings.table_size()) * sizeof(compute_t<T>);
    gradient_kernel<T>
        <<<grid_for(images.count * images.chunks()), kThreads, bytes, static_cast<cudaStream_t>(stream)>>>(
            gradient, x, y, mask, table, images, settings, out_x, out_y);
    cuda_check(cudaGetLastError(), "histogram_loss_backward");
}

// ------ instances

#define SARCORE_INSTANCE(T)                                                                               \
    template void histogram_loss_cuda<T>(const T*, const T*, const uint8_t*, Images, LossSettings, void*, \
                                         compute_t<T>*, compute_t<T>*, int, void*);
SARCORE_INSTANCE(uint8_t)
SARCORE_INSTANCE(uint16_t)
SARCORE_INSTANCE(Half)
SARCORE_INSTANCE(BFloat16)
SARCORE_INSTANCE(float)
SARCORE_INSTANCE(double)
#undef SARCORE_INSTANCE
#define SARCORE_INSTANCE(T)                                                                                \
    template void histogram_loss_backward_cuda<T>(const compute_t<T>*, const T*, const T*, const uint8_t*, \
                                                  const compute_t<T>*, Images, LossSettings, T*, T*, int, void*);
SARCORE_INSTANCE(Half)
SARCORE_INSTANCE(BFloat16)
SARCORE_INSTANCE(float)
SARCORE_INSTANCE(double)
#undef SARCORE_INSTANCE

}  // namespace sarcore
