// The gradient of extract_patches on CUDA, in gather form.
//
// A thread per pixel of the scene sums the gradients of its copies in the order of extract.h, so no atomics and the
// bits of the CPU; neighbouring threads read neighbouring elements. Floor: one read of the patches' gradient and one
// write of the scene's.
#include "common/cuda.cuh"
#include "patches/extract.h"

namespace sarcore {

namespace {

constexpr int kThreads = 256;

template <typename F>
struct Sum {
    F value = F(0);
    template <typename G>
    __device__ __forceinline__ void add(G g) {
        value += static_cast<F>(widen(g));
    }
    __device__ __forceinline__ void add(const Sum& other) { value += other.value; }
};
template <>
struct Sum<Complex64> {
    Complex64 value{0.0f, 0.0f};
    __device__ __forceinline__ void add(Complex64 g) {
        value.re += g.re;
        value.im += g.im;
    }
    __device__ __forceinline__ void add(const Sum& other) { add(other.value); }
};

// Coordinates of the padded scene fit 32 bits, in which a division is several times cheaper.
__device__ __forceinline__ int64_t divided(int64_t a, int64_t b) {
    return static_cast<uint32_t>(a) / static_cast<uint32_t>(b);
}

// body(number, y, x) for the patches that cover place (row, column), in the order of their rows.
template <typename Body>
__device__ __forceinline__ void for_patches_at(const PatchLayout& l, const int64_t* order, int64_t row, int64_t column,
                                               const Body& body) {
    if (!l.index) {
        if (row < 0 || column < 0) return;
        const int64_t down = divided(l.count, l.across);
        const int64_t i = row < l.h ? 0 : divided(row - l.h, l.down) + 1, i_end = divided(row, l.down) + 1;
        const int64_t j = column < l.w ? 0 : divided(column - l.w, l.right) + 1;
        const int64_t j_end = divided(column, l.right) + 1;
        for (int64_t a = i; a < i_end && a < down; ++a)
            for (int64_t b = j; b < j_end && b < l.across; ++b)
                body(a * l.across + b, row - a * l.down, column - b * l.right);
        return;
    }
    int64_t first = 0, last = l.count;
    while (first < last) {  // the first patch that has not ended before this row
        const int64_t middle = (first + last) / 2;
        if (l.index[2 * order[middle]] <= row - l.h)
            first = middle + 1;
        else
            last = middle;
    }
    for (int64_t k = first; k < l.count; ++k) {
        const int64_t number = order[k], y = row - l.row(number), x = column - l.column(number);
        if (y < 0) return;
        if (x >= 0 && x < l.w) body(number, y, x);
    }
}

template <typename S, typename F, typename T, typename G>
__global__ void __launch_bounds__(kThreads)
    extract_backward_kernel(PatchLayout l, const int64_t* __restrict__ order, const G* __restrict__ gradient,
                            const T* __restrict__ scene, Mapping<F> m, T* __restrict__ out) {
    const int64_t chunks = (l.width + kThreads - 1) / kThreads, work = l.channels * l.height * chunks;
    for (int64_t each = blockIdx.x; each < work; each += gridDim.x) {
        const int64_t line = each / chunks, x = (each - line * chunks) * kThreads + threadIdx.x;
        const int64_t channel = line / l.height, y = line - channel * l.height;
        if (x >= l.width) continue;
        Sum<S> total;
        for_places(x, l.width, l.pad, 1 - l.w, l.width + l.w - 1, [&](int64_t column) {
            Sum<S> sum;
            for_places(y, l.height, l.pad, 1 - l.h, l.height + l.h - 1, [&](int64_t row) {
                for_patches_at(l, order, row, column, [&](int64_t number, int64_t down, int64_t right) {
                    sum.add(gradient[((number * l.channels + channel) * l.h + down) * l.w + right]);
                });
            });
            total.add(sum);
        });
        const int64_t p = line * l.width + x;
        if constexpr (std::is_same_v<S, Complex64>) {
            out[p] = total.value;
        } else if (scene) {
            F slope = F(0);
            const F v = load_value(scene[p], m.nodata);
            with_curve(m.curve, [&](auto curve) { slope = encoded_slope<decltype(curve)::value>(v, m); });
            out[p] = chained(total.value * slope, scene[p]);
        } else if constexpr (!std::is_same_v<T, Complex64>) {
            out[p] = narrowed<T>(total.value);
        }
    }
}

}  // namespace

template <typename T, typename G>
void extract_backward_cuda(const PatchLayout& l, const int64_t* order, const G* gradient, const T* scene,
                           const Radiometry* radiometry, T* out, int device, void* stream) {
    using F = wider_t<T, G>;
    using S = std::conditional_t<std::is_same_v<G, Complex64>, Complex64, F>;
    const int64_t work = l.channels * l.height * ((l.width + kThreads - 1) / kThreads);
    if (work == 0) return;
    const DeviceGuard guard(device);
    Mapping<F> m{};
    if (radiometry) m = encoding<F, T>(*radiometry);
    const auto s = static_cast<cudaStream_t>(stream);
    extract_backward_kernel<S><<<grid_for(work), kThreads, 0, s>>>(l, order, gradient, scene, m, out);
    cuda_check(cudaGetLastError(), "extract_patches_backward");
}

#define SARCORE_INSTANCE(T, G)                                                                        \
    template void extract_backward_cuda<T, G>(const PatchLayout&, const int64_t*, const G*, const T*, \
                                              const Radiometry*, T*, int, void*);
SARCORE_FOR_GRADIENTS(SARCORE_INSTANCE)
#undef SARCORE_INSTANCE

}  // namespace sarcore
