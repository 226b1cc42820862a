// Soft histogram on CUDA.
//
// count:    a block of 256 threads takes a chunk of 8192 pixels of one image with 16-byte loads and adds fixed-point
// masses with integer atomics to
//           tables in shared memory, one per warp where they fit; the block's sums go to its own row of the workspace
//           (no global atomics).
// finish:   a block per image adds the rows, which are integers, and rounds them to the result.
// backward: a block per chunk looks up one slope per pixel in a table in shared memory.
// Floor:    sizeof(T) bytes per pixel forward, 2 sizeof(T) backward; the workspace adds 4 (bins + 1) bytes per 8192
// pixels.
#include "common/cuda.cuh"
#include "histogram/kernels.h"

namespace sarcore {

// ------ kernels

namespace {

constexpr int kThreads = kLanes;
constexpr int kWarps = kThreads / 32;
constexpr int kSharedBytes = 48 * 1024;

template <typename T, bool hard>
__global__ void __launch_bounds__(kThreads)
    count_kernel(const T* __restrict__ x, const uint8_t* __restrict__ mask, Images images, Axis axis, int copies,
                 bool aligned, cell_t<compute_t<T>>* __restrict__ rows) {
    using F = compute_t<T>;
    using C = cell_t<F>;
    extern __shared__ unsigned long long shared[];
    C* const tables = reinterpret_cast<C*>(shared);
    const int pitch = axis.bins + 2;  // bin `bins` is the trash, and its right neighbour
    C* const own = tables + (static_cast<int>(threadIdx.x) / 32 % copies) * pitch;
    const F lo = static_cast<F>(axis.lo), scale = axis_scale<F>(axis), top = static_cast<F>(axis.bins - 1);
    const int64_t chunks = images.chunks();

    for (int64_t work = blockIdx.x; work < images.count * chunks; work += gridDim.x) {
        for (int i = static_cast<int>(threadIdx.x); i < copies * pitch; i += kThreads) tables[i] = 0;
        __syncthreads();
        const int64_t begin = work % chunks * kChunk, base = work / chunks * images.pixels + begin;
        const int n = static_cast<int>(images.pixels - begin < kChunk ? images.pixels - begin : kChunk);
        const auto count = [&](T value, int i) {
            const F v = widen(value);
            const bool valid = v == v && (!mask || mask[base + i]);
            position_t<F> position = trash_position<F>(axis.bins);
            if (valid)
                position = hard ? static_cast<position_t<F>>(hard_bin(value, axis)) << Fixed<F>::bits
                                : fixed_position(v, lo, scale, top);
            add_mass(own, position, false);
        };
        const int packs = aligned ? n / Pack<T>::size : 0;
        for (int p = static_cast<int>(threadIdx.x); p < packs; p += kThreads) {
            const Pack<T> pack = reinterpret_cast<const Pack<T>*>(x + base)[p];
#pragma unroll
            for (int e = 0; e < Pack<T>::size; ++e) count(pack.values[e], p * Pack<T>::size + e);
        }
        for (int i = packs * Pack<T>::size + static_cast<int>(threadIdx.x); i < n; i += kThreads) count(x[base + i], i);
        __syncthreads();
        for (int k = static_cast<int>(threadIdx.x); k < axis.bins; k += kThreads) {
            C sum = 0;
            for (int copy = 0; copy < copies; ++copy) sum += tables[copy * pitch + k];
            rows[work * (axis.bins + 1) + k] = sum;
        }
        __syncthreads();
    }
}

template <typename F>
__global__ void __launch_bounds__(kThreads)
    finish_kernel(const cell_t<F>* __restrict__ rows, Images images, Axis axis, F* __restrict__ out) {
    extern __shared__ __align__(16) unsigned char finish_shared[];
    total_t<F>* const mass = reinterpret_cast<total_t<F>*>(finish_shared);
    const int64_t chunks = images.chunks();
    for (int64_t image = blockIdx.x; image < images.count; image += gridDim.x) {
        for (int k = static_cast<int>(threadIdx.x); k < axis.bins; k += kThreads) {
            total_t<F> sum = 0;
            for (int64_t c = image * chunks; c < (image + 1) * chunks; ++c) sum += rows[c * (axis.bins + 1) + k];
            mass[k] = sum;
        }
        __syncthreads();
        if (threadIdx.x == 0)
            finish_histogram<F>(mass, axis.bins, pixels_of<F>(mass, axis.bins), out + image * axis.bins);
        __syncthreads();
    }
}

template <typename T>
__global__ void __launch_bounds__(kThreads)
    slope_kernel(const compute_t<T>* __restrict__ gradient, const T* __restrict__ x, const uint8_t* __restrict__ mask,
                 Images images, Axis axis, bool aligned, T* __restrict__ out) {
    using F = compute_t<T>;
    extern __shared__ unsigned long long slope_shared[];
    F* const table = reinterpret_cast<F*>(slope_shared);
    const F lo = static_cast<F>(axis.lo), scale = axis_scale<F>(axis), top = static_cast<F>(axis.bins - 1);
    const int64_t chunks = images.chunks();
    for (int64_t work = blockIdx.x; work < images.count * chunks; work += gridDim.x) {
        const int64_t image = work / chunks, begin = work % chunks * kChunk, base = image * images.pixels + begin;
        for (int j = static_cast<int>(threadIdx.x); j < axis.bins; j += kThreads)
            table[j] = slope_entry(gradient + image * axis.bins, j, scale);
        __syncthreads();
        const int n = static_cast<int>(images.pixels - begin < kChunk ? images.pixels - begin : kChunk);
        const auto slope = [&](T value, int i) {
            const F s = table[slope_index(static_cast<F>(widen(value)), lo, scale, top)];
            return narrow<T>(!mask || mask[base + i] ? s : F(0));
        };
        const int packs = aligned ? n / Pack<T>::size : 0;
        for (int p = static_cast<int>(threadIdx.x); p < packs; p += kThreads) {
            const Pack<T> pack = reinterpret_cast<const Pack<T>*>(x + base)[p];
            Pack<T> result;
#pragma unroll
            for (int e = 0; e < Pack<T>::size; ++e) result.values[e] = slope(pack.values[e], p * Pack<T>::size + e);
            reinterpret_cast<Pack<T>*>(out + base)[p] = result;
        }
        for (int i = packs * Pack<T>::size + static_cast<int>(threadIdx.x); i < n; i += kThreads)
            out[base + i] = slope(x[base + i], i);
        __syncthreads();
    }
}

// Every image of a batch starts on a 16-byte boundary.
template <typename T>
bool images_aligned(const T* x, Images images) {
    return aligned16(x) && images.pixels * static_cast<int64_t>(sizeof(T)) % 16 == 0;
}

}  // namespace

// ------ launchers

template <typename T>
void histogram_cuda(const T* x, const uint8_t* mask, Images images, Axis axis, Kernel kernel, void* workspace,
                    compute_t<T>* out, int device, void* stream) {
    using F = compute_t<T>;
    if (images.count == 0) return;
    const DeviceGuard guard(device);
    const auto s = static_cast<cudaStream_t>(stream);
    auto* rows = static_cast<cell_t<F>*>(workspace);
    const int table = (axis.bins + 2) * static_cast<int>(sizeof(cell_t<F>));
    const int copies = std::clamp(kSharedBytes / 2 / table, 1, kWarps);
    const unsigned grid = grid_for(images.count * images.chunks());
    const auto bytes = static_cast<size_t>(copies * table);
    if (kernel == Kernel::hard) {
        count_kernel<T, true>
            <<<grid, kThreads, bytes, s>>>(x, mask, images, axis, copies, images_aligned(x, images), rows);
    } else {
        count_kernel<T, false>
            <<<grid, kThreads, bytes, s>>>(x, mask, images, axis, copies, images_aligned(x, images), rows);
    }
    cuda_check(cudaGetLastError(), "soft_histogram (count)");
    const size_t masses = static_cast<size_t>(axis.bins) * sizeof(total_t<F>);
    if (masses > kSharedBytes)
        cuda_check(cudaFuncSetAttribute(finish_kernel<F>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                        static_cast<int>(masses)),
                   "soft_histogram (shared memory)");
    finish_kernel<F><<<grid_for(images.count), kThreads, masses, s>>>(rows, images, axis, out);
    cuda_check(cudaGetLastError(), "soft_histogram (finish)");
}

template <typename T>
void histogram_backward_cuda(const compute_t<T>* gradient, const T* x, const uint8_t* mask, Images images, Axis axis,
                             T* out, int device, void* stream) {
    if (images.count * images.pixels == 0) return;
    const DeviceGuard guard(device);
    const size_t bytes = static_cast<size_t>(axis.bins) * sizeof(compute_t<T>);
    slope_kernel<T><<<grid_for(images.count * images.chunks()), kThreads, bytes, static_cast<cudaStream_t>(stream)>>>(
        gradient, x, mask, images, axis, images_aligned(x, images) && aligned16(out), out);
    cuda_check(cudaGetLastError(), "soft_histogram_backward");
}

// ------ instances

#define SARCORE_INSTANCE(T) \
    template void histogram_cuda<T>(const T*, const uint8_t*, Images, Axis, Kernel, void*, compute_t<T>*, int, void*);
SARCORE_INSTANCE(uint8_t)
SARCORE_INSTANCE(uint16_t)
SARCORE_INSTANCE(Half)
SARCORE_INSTANCE(BFloat16)
SARCORE_INSTANCE(float)
SARCORE_INSTANCE(double)
#undef SARCORE_INSTANCE
#define SARCORE_INSTANCE(T)                                                                                        \
    template void histogram_backward_cuda<T>(const compute_t<T>*, const T*, const uint8_t*, Images, Axis, T*, int, \
                                             void*);
SARCORE_INSTANCE(Half)
SARCORE_INSTANCE(BFloat16)
SARCORE_INSTANCE(float)
SARCORE_INSTANCE(double)
#undef SARCORE_INSTANCE

}  // namespace sarcore
