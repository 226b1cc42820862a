// encode and decode on CUDA.
//
// A streaming kernel each: a thread takes `lanes` neighbouring elements, as many as fill 16 bytes on the wider side,
// with one load and one store, in a grid-stride loop. The curve is uniform over the launch, so its branch costs
// nothing. Nothing is counted and nothing waits: what the CPU refuses becomes NaN. Floor: sizeof(T) + sizeof(Out) bytes
// per element; the backward passes sizeof(G) + 2 sizeof(T).
#include "common/cuda.cuh"
#include "radiometry/kernels.h"

namespace sarcore {

// ------ kernels

namespace {

constexpr int kThreads = 256;

template <typename T, int lanes>
struct alignas(sizeof(T) * lanes) Lanes {
    T values[lanes];
};

template <typename... T>
constexpr int lanes_of() {
    return 16 / static_cast<int>(std::max({sizeof(T)...}));
}

// Calls body(i, count): `lanes` neighbours at once where everything is aligned, and the rest one by one.
template <int lanes, typename Body>
__device__ __forceinline__ void stream(int64_t n, bool aligned, const Body& body) {
    const int64_t packs = aligned ? n / lanes : 0, stride = int64_t{gridDim.x} * kThreads;
    const int64_t own = int64_t{blockIdx.x} * kThreads + threadIdx.x;
    for (int64_t pack = own; pack < packs; pack += stride) body(pack * lanes, std::integral_constant<int, lanes>{});
    for (int64_t i = packs * lanes + own; i < n; i += stride) body(i, std::integral_constant<int, 1>{});
}

template <int lanes, typename T>
__device__ __forceinline__ Lanes<T, lanes> load(const T* __restrict__ x, int64_t i) {
    return *reinterpret_cast<const Lanes<T, lanes>*>(x + i);
}
template <int lanes, typename T>
__device__ __forceinline__ void store(T* __restrict__ out, int64_t i, const Lanes<T, lanes>& v) {
    *reinterpret_cast<Lanes<T, lanes>*>(out + i) = v;
}

template <int lanes, typename T, typename Out, typename F>
__global__ void __launch_bounds__(kThreads)
    encode_kernel(const T* __restrict__ x, int64_t n, Mapping<F> m, bool aligned, Out* __restrict__ out) {
    with_curve(m.curve, [&](auto curve) {
        stream<lanes>(n, aligned, [&](int64_t i, auto count) {
            const auto in = load<count.value>(x, i);
            Lanes<Out, count.value> result;
#pragma unroll
            for (int e = 0; e < count.value; ++e)
                result.values[e] = stored<Out>(encoded<curve.value>(load_value(in.values[e], m.nodata), m), m.reserve);
            store(out, i, result);
        });
    });
}

template <int lanes, typename T, typename G, typename F>
__global__ void __launch_bounds__(kThreads)
    encode_backward_kernel(const G* __restrict__ gradient, const T* __restrict__ x, int64_t n, Mapping<F> m,
                           bool aligned, T* __restrict__ out) {
    with_curve(m.curve, [&](auto curve) {
        stream<lanes>(n, aligned, [&](int64_t i, auto count) {
            const auto in = load<count.value>(x, i);
            const auto upstream = load<count.value>(gradient, i);
            Lanes<T, count.value> result;
#pragma unroll
            for (int e = 0; e < count.value; ++e)
                result.values[e] = chained(static_cast<F>(widen(upstream.values[e])) *
                                               encoded_slope<curve.value>(load_value(in.values[e], m.nodata), m),
                                           in.values[e]);
            store(out, i, result);
        });
    });
}

template <int lanes, typename Q, typename F>
__global__ void __launch_bounds__(kThreads)
    decode_kernel(const Q* __restrict__ q, int64_t n, Mapping<F> m, bool aligned, F* __restrict__ out) {
    with_curve(m.curve, [&](auto curve) {
        stream<lanes>(n, aligned, [&](int64_t i, auto count) {
            const auto in = load<count.value>(q, i);
            Lanes<F, count.value> result;
#pragma unroll
            for (int e = 0; e < count.value; ++e)
                result.values[e] = decoded<curve.value>(load_encoded<F>(in.values[e], m.reserve), m);
            store(out, i, result);
        });
    });
}

template <int lanes, typename Q, typename F>
__global__ void __launch_bounds__(kThreads)
    decode_backward_kernel(const F* __restrict__ gradient, const Q* __restrict__ q, int64_t n, Mapping<F> m,
                           bool aligned, Q* __restrict__ out) {
    with_curve(m.curve, [&](auto curve) {
        stream<lanes>(n, aligned, [&](int64_t i, auto count) {
            const auto in = load<count.value>(q, i);
            const auto upstream = load<count.value>(gradient, i);
            Lanes<Q, count.value> result;
#pragma unroll
            for (int e = 0; e < count.value; ++e)
                result.values[e] = chained(
                    upstream.values[e] * decoded_slope<curve.value>(load_encoded<F>(in.values[e], m.reserve), m),
                    in.values[e]);
            store(out, i, result);
        });
    });
}

unsigned blocks_for(int64_t n, int lanes) { return grid_for((n / lanes + kThreads) / kThreads); }

}  // namespace

// ------ launchers

template <typename T, typename Out>
void encode_cuda(const T* x, int64_t n, const Radiometry& radiometry, Out* out, int device, void* stream) {
    using F = wider_t<T, Out>;
    if (n == 0) return;
    const DeviceGuard guard(device);
    const auto m = encoding<F, T>(radiometry);
    const auto s = static_cast<cudaStream_t>(stream);
    constexpr int lanes = lanes_of<T, Out>();
    const bool aligned = aligned16(x) && aligned16(out);
    encode_kernel<lanes><<<blocks_for(n, aligned ? lanes : 1), kThreads, 0, s>>>(x, n, m, aligned, out);
    cuda_check(cudaGetLastError(), "encode");
}

template <typename T, typename G>
void encode_backward_cuda(const G* gradient, const T* x, int64_t n, const Radiometry& radiometry, T* out, int device,
                          void* stream) {
    using F = wider_t<T, G>;
    if (n == 0) return;
    const DeviceGuard guard(device);
    const auto m = encoding<F, T>(radiometry);
    const auto s = static_cast<cudaStream_t>(stream);
    constexpr int lanes = lanes_of<T, G>();
    const bool aligned = aligned16(x) && aligned16(gradient) && aligned16(out);
    encode_backward_kernel<lanes>
        <<<blocks_for(n, aligned ? lanes : 1), kThreads, 0, s>>>(gradient, x, n, m, aligned, out);
    cuda_check(cudaGetLastError(), "encode_backward");
}

template <typename Q>
void decode_cuda(const Q* q, int64_t n, const Radiometry& radiometry, compute_t<Q>* out, int device, void* stream) {
    using F = compute_t<Q>;
    if (n == 0) return;
    const DeviceGuard guard(device);
    const auto m = decoding<F>(radiometry);
    const auto s = static_cast<cudaStream_t>(stream);
    constexpr int lanes = lanes_of<Q, F>();
    const bool aligned = aligned16(q) && aligned16(out);
    decode_kernel<lanes><<<blocks_for(n, aligned ? lanes : 1), kThreads, 0, s>>>(q, n, m, aligned, out);
    cuda_check(cudaGetLastError(), "decode");
}

template <typename Q>
void decode_backward_cuda(const compute_t<Q>* gradient, const Q* q, int64_t n, const Radiometry& radiometry, Q* out,
                          int device, void* stream) {
    using F = compute_t<Q>;
    if (n == 0) return;
    const DeviceGuard guard(device);
    const auto m = decoding<F>(radiometry);
    const auto s = static_cast<cudaStream_t>(stream);
    constexpr int lanes = lanes_of<Q, F>();
    const bool aligned = aligned16(q) && aligned16(gradient) && aligned16(out);
    decode_backward_kernel<lanes>
        <<<blocks_for(n, aligned ? lanes : 1), kThreads, 0, s>>>(gradient, q, n, m, aligned, out);
    cuda_check(cudaGetLastError(), "decode_backward");
}

// ------ instances

#define SARCORE_INSTANCE(T, Out) \
    template void encode_cuda<T, Out>(const T*, int64_t, const Radiometry&, Out*, int, void*);
SARCORE_FOR_INPUTS(SARCORE_INSTANCE, uint8_t)
SARCORE_FOR_INPUTS(SARCORE_INSTANCE, uint16_t)
SARCORE_FOR_INPUTS(SARCORE_INSTANCE, Half)
SARCORE_FOR_INPUTS(SARCORE_INSTANCE, BFloat16)
SARCORE_FOR_INPUTS(SARCORE_INSTANCE, float)
SARCORE_FOR_INPUTS(SARCORE_INSTANCE, double)
#undef SARCORE_INSTANCE
#define SARCORE_INSTANCE(T, G) \
    template void encode_backward_cuda<T, G>(const G*, const T*, int64_t, const Radiometry&, T*, int, void*);
SARCORE_FOR_FLOATING(SARCORE_INSTANCE, Half)
SARCORE_FOR_FLOATING(SARCORE_INSTANCE, BFloat16)
SARCORE_FOR_FLOATING(SARCORE_INSTANCE, float)
SARCORE_FOR_FLOATING(SARCORE_INSTANCE, double)
SARCORE_INSTANCE(Complex64, Half)
SARCORE_INSTANCE(Complex64, BFloat16)
SARCORE_INSTANCE(Complex64, float)
SARCORE_INSTANCE(Complex64, double)
#undef SARCORE_INSTANCE
#define SARCORE_INSTANCE(Q) \
    template void decode_cuda<Q>(const Q*, int64_t, const Radiometry&, compute_t<Q>*, int, void*);
SARCORE_INSTANCE(Half)
SARCORE_INSTANCE(BFloat16)
SARCORE_INSTANCE(float)
SARCORE_INSTANCE(double)
SARCORE_INSTANCE(uint8_t)
SARCORE_INSTANCE(uint16_t)
#undef SARCORE_INSTANCE
#define SARCORE_INSTANCE(Q) \
    template void decode_backward_cuda<Q>(const compute_t<Q>*, const Q*, int64_t, const Radiometry&, Q*, int, void*);
SARCORE_INSTANCE(Half)
SARCORE_INSTANCE(BFloat16)
SARCORE_INSTANCE(float)
SARCORE_INSTANCE(double)
#undef SARCORE_INSTANCE

}  // namespace sarcore
