// The gradient of extract_patches on CUDA, in gather form.
//
// A thread per pixel of the scene sums the gradients of its copies in the order of extract.h, so no atomics and the
// bits of the CPU; neighbouring threads read neighbouring elements. Floor: one read of the patches' gradient and one
// write of the scene's.
#include "common/cuda.cuh"
#include "patches/extract.h"
#include "patches/extract_types.cuh"

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

__device__ __forceinline__ int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// Coordinates of the padded scene fit 32 bits, in which a division is several times cheaper.
__device__ __forceinline__ int64_t divided(int64_t a, int64_t b) {
    return static_cast<uint32_t>(a) / static_cast<uint32_t>(b);
}

// body(number, y, x) for the patches that cover place (row, column), in the order of their rows.
template <typename Body>
__device__ __forceinline__ void for_patches_at(const PatchLayout& l, const int64_t* order, int64_t row, int64_t column,
                                               const Body& body) {
    int64_t i = 0, i_end = l.count, j = 0, j_end = 1;
    if (!l.index) {
        if (row < 0 || column < 0) return;
        i = row < l.h ? 0 : divided(row - l.h, l.down) + 1;
        i_end = smaller(divided(row, l.down) + 1, divided(l.count, l.across));
        j = column < l.w ? 0 : divided(column - l.w, l.right) + 1;
        j_end = smaller(divided(column, l.right) + 1, l.across);
    } else {
        while (i < i_end) {  // the first patch that has not ended before this row
            const int64_t middle = (i + i_end) / 2;
            if (l.index[2 * order[middle]] <= row - l.h)
                i = middle + 1;
            else
                i_end = middle;
        }
        i_end = l.count;
    }
    for (; i < i_end; ++i)
        for (int64_t k = j; k < j_end; ++k) {
            const int64_t number = l.index ? order[i] : i * l.across + k;
            const int64_t y = row - (l.index ? l.row(number) : i * l.down);
            const int64_t x = column - (l.index ? l.column(number) : k * l.right);
            if (y < 0) return;
            if (x >= 0 && x < l.w) body(number, y, x);
        }
}

// The sum at pixel (channel, y, x) of the scene.
template <typename S, typename G>
__device__ __forceinline__ Sum<S> sum_at(const PatchLayout& l, const int64_t* order, const G* gradient, int64_t channel,
                                         int64_t y, int64_t x) {
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
    return total;
}

// Whether the gradient of a scene of T is computed in F, from a gradient of G.
template <typename T, typename G, typename F>
constexpr bool computed_in = !std::is_integral_v<T> && std::is_same_v<wider_t<T, G>, F>;

// Writes pixel p: the sum, times the slope of the radiometry where there is a scene.
template <typename F, typename G>
__device__ __forceinline__ void store_gradient(DType type, int64_t p, F total, const void* scene, const Mapping<F>& m,
                                               void* out) {
    if (scene) {
        F v = F(0), slope = F(0);
        with_type(type, [&](auto element) {
            using T = decltype(element);
            if constexpr (computed_in<T, G, F>) v = load_value(static_cast<const T*>(scene)[p], m.nodata);
        });
        with_curve(m.curve, [&](auto curve) { slope = encoded_slope<decltype(curve)::value>(v, m); });
        total = total * slope;
    }
    with_type(type, [&](auto element) {
        using T = decltype(element);
        if constexpr (std::is_same_v<T, Complex64> && computed_in<T, G, F>)
            static_cast<T*>(out)[p] = chained(total, static_cast<const T*>(scene)[p]);
        else if constexpr (computed_in<T, G, F>)
            static_cast<T*>(out)[p] = narrowed<T>(total);
    });
}

template <typename F, typename G>
__global__ void __launch_bounds__(kThreads)
    extract_backward_kernel(PatchLayout l, const int64_t* __restrict__ order, const G* __restrict__ gradient,
                            DType type, const void* __restrict__ scene, Mapping<F> m, void* __restrict__ out) {
    const int64_t chunks = (l.width + kThreads - 1) / kThreads, work = l.channels * l.height * chunks;
    for (int64_t each = blockIdx.x; each < work; each += gridDim.x) {
        const int64_t line = each / chunks, x = (each - line * chunks) * kThreads + threadIdx.x;
        const int64_t channel = line / l.height, y = line - channel * l.height, p = line * l.width + x;
        if (x >= l.width) continue;
        if constexpr (std::is_same_v<G, Complex64>)
            static_cast<Complex64*>(out)[p] = sum_at<Complex64>(l, order, gradient, channel, y, x).value;
        else
            store_gradient<F, G>(type, p, sum_at<F>(l, order, gradient, channel, y, x).value, scene, m, out);
    }
}

template <typename F, typename G>
void launch(const PatchLayout& l, const int64_t* order, const void* gradient, DType type, const void* scene,
            const Radiometry* radiometry, void* out, cudaStream_t stream) {
    const int64_t work = l.channels * l.height * ((l.width + kThreads - 1) / kThreads);
    if (work == 0) return;
    Mapping<F> m{};
    if (radiometry) m = encoding<F, double>(declared_for(type, *radiometry));
    extract_backward_kernel<<<grid_for(work), kThreads, 0, stream>>>(l, order, static_cast<const G*>(gradient), type,
                                                                     scene, m, out);
    cuda_check(cudaGetLastError(), "extract_patches_backward");
}

}  // namespace

void extract_backward_cuda(const PatchLayout& l, const int64_t* order, DType gradient_type, const void* gradient,
                           DType type, const void* scene, const Radiometry* radiometry, void* out, int device,
                           void* stream) {
    const DeviceGuard guard(device);
    const auto s = static_cast<cudaStream_t>(stream);
    if (l.count == 0) {  // +0 everywhere, as on the CPU: a slope times 0 may be -0
        const auto bytes = static_cast<size_t>(l.channels * l.height * l.width * size_of(type));
        return cuda_check(cudaMemsetAsync(out, 0, bytes, s), "extract_patches_backward");
    }
    const auto start = [&](auto launch_for) { launch_for(l, order, gradient, type, scene, radiometry, out, s); };
    const bool wide = type == DType::f64;
    if (gradient_type == DType::f16) return start(wide ? launch<double, Half> : launch<float, Half>);
    if (gradient_type == DType::bf16) return start(wide ? launch<double, BFloat16> : launch<float, BFloat16>);
    if (gradient_type == DType::f32) return start(wide ? launch<double, float> : launch<float, float>);
    if (gradient_type == DType::f64) return start(launch<double, double>);
    start(launch<float, Complex64>);
}

}  // namespace sarcore
