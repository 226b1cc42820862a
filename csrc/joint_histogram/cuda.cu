// Joint histogram on CUDA.
//
// count:    a block of 256 threads takes 32768 pixel pairs of one image and adds four fixed-point weights per pair with
// integer atomics to a table in
//           shared memory (bins 64: 16 KB), then to the image's 64-bit cells in the workspace; tables too large for
//           shared memory are counted there directly. Integers: the order of the additions does not matter.
// convert:  fixed point to the result. backward: four neighbouring cells of the gradient per pair, through the cache.
// Floor:    2 sizeof(T) bytes read per pixel forward; 2 read and 2 written backward; 12 bytes per cell.
#include "common/cuda.cuh"
#include "joint_histogram/kernels.h"

namespace sarcore {

// ------ kernels

namespace {

constexpr int kThreads = kLanes;
constexpr int64_t kSpan = 4 * kChunk;  // 2^15 pixels of 2^16: fits 32 bits
constexpr int64_t kSharedBytes = 48 * 1024;

using Word = unsigned long long;

template <typename F, typename C>
__device__ __forceinline__ void add_tap(C* cells, const JointTap<F>& tap, int bins_x, int bins_y) {
    if (tap.i >= bins_x || tap.j >= bins_y) return;  // trash: does not count
    C* const at = cells + tap.i * bins_y + tap.j;
    const bool right = tap.j + 1 < bins_y, below = tap.i + 1 < bins_x;  // beyond the last centre the weight is zero
    atomicAdd(at, static_cast<C>(tap.w00));
    if (right && tap.w01) atomicAdd(at + 1, static_cast<C>(tap.w01));
    if (below && tap.w10) atomicAdd(at + bins_y, static_cast<C>(tap.w10));
    if (right && below && tap.w11) atomicAdd(at + bins_y + 1, static_cast<C>(tap.w11));
}

template <typename T, bool in_shared>
__global__ void __launch_bounds__(kThreads)
    count_kernel(const T* __restrict__ x, const T* __restrict__ y, const uint8_t* __restrict__ mask, Images images,
                 Axis ax, Axis ay, Word* __restrict__ sums) {
    using F = compute_t<T>;
    using C = cell_t<F>;
    extern __shared__ unsigned long long shared[];
    C* const table = reinterpret_cast<C*>(shared);
    const F lo_x = static_cast<F>(ax.lo), scale_x = axis_scale<F>(ax), top_x = static_cast<F>(ax.bins - 1);
    const F lo_y = static_cast<F>(ay.lo), scale_y = axis_scale<F>(ay), top_y = static_cast<F>(ay.bins - 1);
    const int cells = ax.bins * ay.bins;
    const int64_t spans = (images.pixels + kSpan - 1) / kSpan;
    for (int64_t work = blockIdx.x; work < images.count * spans; work += gridDim.x) {
        const int64_t image = work / spans, begin = work % spans * kSpan;
        const int64_t end = begin + kSpan < images.pixels ? begin + kSpan : images.pixels;
        Word* const own = sums + image * cells;
        if (in_shared) {
            for (int c = static_cast<int>(threadIdx.x); c < cells; c += kThreads) table[c] = 0;
            __syncthreads();
        }
        for (int64_t i = image * images.pixels + begin + threadIdx.x; i < image * images.pixels + end; i += kThreads) {
            const F vx = widen(x[i]), vy = widen(y[i]);
            if (!(vx == vx && vy == vy && (!mask || mask[i]))) continue;
            const JointTap<F> tap =
                joint_tap<F>(fixed_position(vx, lo_x, scale_x, top_x), fixed_position(vy, lo_y, scale_y, top_y));
            if (in_shared) {
                add_tap<F>(table, tap, ax.bins, ay.bins);
            } else {
                add_tap<F>(own, tap, ax.bins, ay.bins);
            }
        }
        if (in_shared) {
            __syncthreads();
            for (int c = static_cast<int>(threadIdx.x); c < cells; c += kThreads)
                if (table[c]) atomicAdd(own + c, static_cast<Word>(table[c]));
            __syncthreads();
        }
    }
}

template <typename F>
__global__ void convert_kernel(const Word* __restrict__ sums, int64_t cells, F* __restrict__ out) {
    for (int64_t c = blockIdx.x * static_cast<int64_t>(blockDim.x) + threadIdx.x; c < cells;
         c += gridDim.x * static_cast<int64_t>(blockDim.x))
        out[c] = static_cast<F>(static_cast<double>(sums[c]) / static_cast<double>(int64_t{1} << Fixed<F>::bits));
}

template <typename T>
__global__ void __launch_bounds__(kThreads)
    slope_kernel(const compute_t<T>* __restrict__ gradient, const T* __restrict__ x, const T* __restrict__ y,
                 const uint8_t* __restrict__ mask, Images images, Axis ax, Axis ay, T* __restrict__ out_x,
                 T* __restrict__ out_y) {
    using F = compute_t<T>;
    const int64_t total = images.count * images.pixels, cells = static_cast<int64_t>(ax.bins) * ay.bins;
    for (int64_t i = blockIdx.x * static_cast<int64_t>(kThreads) + threadIdx.x; i < total;
         i += gridDim.x * static_cast<int64_t>(kThreads)) {
        const F vx = widen(x[i]), vy = widen(y[i]);
        JointSlope<F> slope{F(0), F(0)};
        if (vx == vx && vy == vy && (!mask || mask[i]))
            slope = joint_slope(vx, vy, gradient + i / images.pixels * cells, ax, ay);
        if (out_x) out_x[i] = narrow<T>(slope.x);
        if (out_y) out_y[i] = narrow<T>(slope.y);
    }
}

}  // namespace

// ------ launchers

template <typename T>
void joint_histogram_cuda(const T* x, const T* y, const uint8_t* mask, Images images, Axis ax, Axis ay, void* workspace,
                          compute_t<T>* out, int device, void* stream) {
    using F = compute_t<T>;
    if (images.count == 0) return;
    const DeviceGuard guard(device);
    const auto s = static_cast<cudaStream_t>(stream);
    auto* sums = static_cast<Word*>(workspace);
    const int64_t cells = int64_t{ax.bins} * ay.bins, bytes = cells * static_cast<int64_t>(sizeof(cell_t<F>));
    cuda_check(cudaMemsetAsync(sums, 0, static_cast<size_t>(images.count * cells) * sizeof(Word), s),
               "joint_histogram (clear)");
    const unsigned grid = grid_for(images.count * ((images.pixels + kSpan - 1) / kSpan));
    if (bytes <= kSharedBytes) {
        count_kernel<T, true><<<grid, kThreads, static_cast<size_t>(bytes), s>>>(x, y, mask, images, ax, ay, sums);
    } else {
        count_kernel<T, false><<<grid, kThreads, 0, s>>>(x, y, mask, images, ax, ay, sums);
    }
    cuda_check(cudaGetLastError(), "joint_histogram (count)");
    convert_kernel<F><<<grid_for((images.count * cells + kThreads - 1) / kThreads), kThreads, 0, s>>>(
        sums, images.count * cells, out);
    cuda_check(cudaGetLastError(), "joint_histogram (convert)");
}

template <typename T>
void joint_histogram_backward_cuda(const compute_t<T>* gradient, const T* x, const T* y, const uint8_t* mask,
                                   Images images, Axis ax, Axis ay, T* out_x, T* out_y, int device, void* stream) {
    if (images.count * images.pixels == 0) return;
    const DeviceGuard guard(device);
    const unsigned grid = grid_for((images.count * images.pixels + kThreads - 1) / kThreads);
    slope_kernel<T>
        <<<grid, kThreads, 0, static_cast<cudaStream_t>(stream)>>>(gradient, x, y, mask, images, ax, ay, out_x, out_y);
    cuda_check(cudaGetLastError(), "joint_histogram_backward");
}

// ------ instances

#define SARCORE_INSTANCE(T)                                                                              \
    template void joint_histogram_cuda<T>(const T*, const T*, const uint8_t*, Images, Axis, Axis, void*, \
                                          compute_t<T>*, int, void*);
SARCORE_INSTANCE(uint8_t)
SARCORE_INSTANCE(uint16_t)
SARCORE_INSTANCE(Half)
SARCORE_INSTANCE(BFloat16)
SARCORE_INSTANCE(float)
SARCORE_INSTANCE(double)
#undef SARCORE_INSTANCE
#define SARCORE_INSTANCE(T)                                                                                         \
    template void joint_histogram_backward_cuda<T>(const compute_t<T>*, const T*, const T*, const uint8_t*, Images, \
                                                   Axis, Axis, T*, T*, int, void*);
SARCORE_INSTANCE(Half)
SARCORE_INSTANCE(BFloat16)
SARCORE_INSTANCE(float)
SARCORE_INSTANCE(double)
#undef SARCORE_INSTANCE

}  // namespace sarcore
