// encode and decode on the CPU.
//
// One pass over memory in blocks of 1024 elements that stay in the first-level cache: load (widen, |z|^2, no-data),
// curve and map in float32 or float64 with the counts for the refusals, store (narrow or round to codes). Every step is
// a vector loop (blocks.h offers them to other ops). Floor: sizeof(T) + sizeof(Out) bytes per element; the backward
// passes sizeof(G) + 2 sizeof(T).
#include <vector>

#include "common/geometry.h"
#include "common/parallel.h"
#include "radiometry/blocks.h"

namespace sarcore {

// ------ vector loops

namespace {

constexpr int64_t kTask = 65536;

template <typename F, typename T>
SARCORE_HD void load_loop(const T* x, int n, F nodata, F* out) {
    for (int i = 0; i < n; ++i) out[i] = load_value(x[i], nodata);
}
template <typename F, typename Q>
SARCORE_HD void load_encoded_loop(const Q* q, int n, bool reserve, F* out) {
    for (int i = 0; i < n; ++i) out[i] = load_encoded<F>(q[i], reserve);
}
template <typename Out, typename F>
SARCORE_HD void store_loop(const F* t, int n, bool reserve, Out* out) {
    for (int i = 0; i < n; ++i) out[i] = stored<Out>(t[i], reserve);
}
template <typename F, typename G, typename T>
SARCORE_HD void chain_loop(const G* gradient, const F* slope, const T* x, int n, T* out) {
    for (int i = 0; i < n; ++i) out[i] = chained(static_cast<F>(widen(gradient[i])) * slope[i], x[i]);
}

// The counts are integers, which a vector loop may add in any order.
template <Curve C, typename F>
SARCORE_HD void encode_loop(const F* v, int n, const Mapping<F>& m, F* t, Seen& seen) {
    int32_t negative = 0, large = 0, missing = 0;
    for (int i = 0; i < n; ++i) {
        negative += v[i] < F(0);
        large += v[i] > F(100);
        missing += v[i] != v[i];
        t[i] = encoded<C>(v[i], m);
    }
    seen.add({negative, large, missing});
}
template <Curve C, typename F>
SARCORE_HD void decode_loop(const F* t, int n, const Mapping<F>& m, F* v, Seen& seen) {
    int32_t outside = 0;
    for (int i = 0; i < n; ++i) {
        outside += (t[i] < F(0)) | (t[i] > F(1));
        v[i] = decoded<C>(t[i], m);
    }
    seen.negative += outside;
}
template <Curve C, typename F>
SARCORE_HD void encode_slope_loop(const F* v, int n, const Mapping<F>& m, F* out) {
    for (int i = 0; i < n; ++i) out[i] = encoded_slope<C>(v[i], m);
}
template <Curve C, typename F>
SARCORE_HD void decode_slope_loop(const F* t, int n, const Mapping<F>& m, F* out) {
    for (int i = 0; i < n; ++i) out[i] = decoded_slope<C>(t[i], m);
}

}  // namespace

#define SARCORE_DEFINE_LOAD(T, F) \
    SARCORE_MULTIVERSION void load_block(const T* x, int n, F nodata, F* out) { load_loop(x, n, nodata, out); }
SARCORE_FOR_NARROW_INPUTS(SARCORE_DEFINE_LOAD, float)
SARCORE_FOR_NARROW_INPUTS(SARCORE_DEFINE_LOAD, double)
SARCORE_DEFINE_LOAD(double, double)
#undef SARCORE_DEFINE_LOAD

#define SARCORE_DEFINE_LOAD(Q, F)                                                          \
    SARCORE_MULTIVERSION static void load_codes(const Q* q, int n, bool reserve, F* out) { \
        load_encoded_loop(q, n, reserve, out);                                             \
    }
SARCORE_DEFINE_LOAD(uint8_t, float)
SARCORE_DEFINE_LOAD(uint16_t, float)
SARCORE_DEFINE_LOAD(Half, float)
SARCORE_DEFINE_LOAD(BFloat16, float)
SARCORE_DEFINE_LOAD(float, float)
SARCORE_DEFINE_LOAD(double, double)
#undef SARCORE_DEFINE_LOAD

#define SARCORE_DEFINE_STORE(Out, F) \
    SARCORE_MULTIVERSION void store_block(const F* t, int n, bool reserve, Out* out) { store_loop(t, n, reserve, out); }
SARCORE_FOR_STORED(SARCORE_DEFINE_STORE)
#undef SARCORE_DEFINE_STORE

#define SARCORE_DEFINE_CURVES(F)                                                                              \
    SARCORE_MULTIVERSION void encode_block(const F* v, int n, const Mapping<F>& m, F* t, Seen& seen) {        \
        with_curve(m.curve, [&](auto curve) __attribute__((always_inline)) {                                  \
            encode_loop<decltype(curve)::value>(v, n, m, t, seen);                                            \
        });                                                                                                   \
    }                                                                                                         \
    SARCORE_MULTIVERSION static void decode_block(const F* t, int n, const Mapping<F>& m, F* v, Seen& seen) { \
        with_curve(m.curve, [&](auto curve) __attribute__((always_inline)) {                                  \
            decode_loop<decltype(curve)::value>(t, n, m, v, seen);                                            \
        });                                                                                                   \
    }                                                                                                         \
    SARCORE_MULTIVERSION void encode_slopes(const F* v, int n, const Mapping<F>& m, F* out) {                 \
        with_curve(m.curve, [&](auto curve) __attribute__((always_inline)) {                                  \
            encode_slope_loop<decltype(curve)::value>(v, n, m, out);                                          \
        });                                                                                                   \
    }                                                                                                         \
    SARCORE_MULTIVERSION static void decode_slopes(const F* t, int n, const Mapping<F>& m, F* out) {          \
        with_curve(m.curve, [&](auto curve) __attribute__((always_inline)) {                                  \
            decode_slope_loop<decltype(curve)::value>(t, n, m, out);                                          \
        });                                                                                                   \
    }
SARCORE_DEFINE_CURVES(float)
SARCORE_DEFINE_CURVES(double)
#undef SARCORE_DEFINE_CURVES

// ------ drivers

namespace {

// body(first, count, task) for every block.
template <typename Body>
void for_blocks(int64_t n, int threads, const Body& body) {
    const int64_t tasks = (n + kTask - 1) / kTask;
    parallel_for(tasks, n < kSerialPixels ? 1 : threads, [&](int64_t task) {
        const int64_t last = std::min(n, (task + 1) * kTask);
        for (int64_t p = task * kTask; p < last; p += kBlock)
            body(p, static_cast<int>(std::min<int64_t>(kBlock, last - p)), task);
    });
}

Seen total(const std::vector<Seen>& tasks) {
    Seen sum;
    for (const Seen& seen : tasks) sum.add(seen);
    return sum;
}

}  // namespace

template <typename T, typename Out>
Seen encode_cpu(const T* x, int64_t n, const Radiometry& radiometry, int threads, Out* out) {
    using F = wider_t<T, Out>;
    const Mapping<F> m = encoding<F, T>(radiometry);
    std::vector<Seen> seen(static_cast<size_t>((n + kTask - 1) / kTask));
    for_blocks(n, threads, [&](int64_t p, int count, int64_t task) {
        encode_elements(x + p, count, m, out + p, seen[static_cast<size_t>(task)]);
    });
    return total(seen);
}

template <typename T, typename G>
void encode_backward_cpu(const G* gradient, const T* x, int64_t n, const Radiometry& radiometry, int threads, T* out) {
    using F = wider_t<T, G>;
    const Mapping<F> m = encoding<F, T>(radiometry);
    for_blocks(n, threads, [&](int64_t p, int count, int64_t) {
        F values[kBlock];
        load_block(x + p, count, m.nodata, values);
        encode_slopes(values, count, m, values);
        chain_loop(gradient + p, values, x + p, count, out + p);
    });
}

template <typename Q>
Seen decode_cpu(const Q* q, int64_t n, const Radiometry& radiometry, int threads, compute_t<Q>* out) {
    using F = compute_t<Q>;
    const Mapping<F> m = decoding<F>(radiometry);
    std::vector<Seen> seen(static_cast<size_t>((n + kTask - 1) / kTask));
    for_blocks(n, threads, [&](int64_t p, int count, int64_t task) {
        F values[kBlock];
        load_codes(q + p, count, m.reserve, values);
        decode_block(values, count, m, out + p, seen[static_cast<size_t>(task)]);
    });
    return total(seen);
}

template <typename Q>
void decode_backward_cpu(const compute_t<Q>* gradient, const Q* q, int64_t n, const Radiometry& radiometry, int threads,
                         Q* out) {
    using F = compute_t<Q>;
    const Mapping<F> m = decoding<F>(radiometry);
    for_blocks(n, threads, [&](int64_t p, int count, int64_t) {
        F values[kBlock];
        load_codes(q + p, count, m.reserve, values);
        decode_slopes(values, count, m, values);
        chain_loop(gradient + p, values, q + p, count, out + p);
    });
}

// ------ instances

#define SARCORE_INSTANCE(T, Out) template Seen encode_cpu<T, Out>(const T*, int64_t, const Radiometry&, int, Out*);
SARCORE_FOR_INPUTS(SARCORE_INSTANCE, uint8_t)
SARCORE_FOR_INPUTS(SARCORE_INSTANCE, uint16_t)
SARCORE_FOR_INPUTS(SARCORE_INSTANCE, Half)
SARCORE_FOR_INPUTS(SARCORE_INSTANCE, BFloat16)
SARCORE_FOR_INPUTS(SARCORE_INSTANCE, float)
SARCORE_FOR_INPUTS(SARCORE_INSTANCE, double)
#undef SARCORE_INSTANCE
#define SARCORE_INSTANCE(T, G) \
    template void encode_backward_cpu<T, G>(const G*, const T*, int64_t, const Radiometry&, int, T*);
SARCORE_FOR_FLOATING(SARCORE_INSTANCE, Half)
SARCORE_FOR_FLOATING(SARCORE_INSTANCE, BFloat16)
SARCORE_FOR_FLOATING(SARCORE_INSTANCE, float)
SARCORE_FOR_FLOATING(SARCORE_INSTANCE, double)
SARCORE_INSTANCE(Complex64, Half)
SARCORE_INSTANCE(Complex64, BFloat16)
SARCORE_INSTANCE(Complex64, float)
SARCORE_INSTANCE(Complex64, double)
#undef SARCORE_INSTANCE
#define SARCORE_INSTANCE(Q) template Seen decode_cpu<Q>(const Q*, int64_t, const Radiometry&, int, compute_t<Q>*);
SARCORE_INSTANCE(Half)
SARCORE_INSTANCE(BFloat16)
SARCORE_INSTANCE(float)
SARCORE_INSTANCE(double)
SARCORE_INSTANCE(uint8_t)
SARCORE_INSTANCE(uint16_t)
#undef SARCORE_INSTANCE
#define SARCORE_INSTANCE(Q) \
    template void decode_backward_cpu<Q>(const compute_t<Q>*, const Q*, int64_t, const Radiometry&, int, Q*);
SARCORE_INSTANCE(Half)
SARCORE_INSTANCE(BFloat16)
SARCORE_INSTANCE(float)
SARCORE_INSTANCE(double)
#undef SARCORE_INSTANCE

}  // namespace sarcore
