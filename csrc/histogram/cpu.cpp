// Soft histogram on the CPU.
//
// Forward: one pass over the pixels. Blocks of 1024 pixels become fixed-point positions in a vector loop, then a scalar
// loop adds one 64-bit word per pixel (count in the high half, fraction in the low half) to one of four interleaved
// tables. Backward: one pass, a table look-up per pixel, from vector registers where the CPU has AVX-512 and the table
// 64 entries or fewer. Floor: sizeof(T) bytes read per pixel forward; 2 sizeof(T) (read x, write the gradient)
// backward.
#include <vector>

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#endif

#include "histogram/cpu_loops.h"
#include "histogram/kernels.h"

namespace sarcore {

// ------ vector loops

namespace {

template <bool Masked, typename T, typename F>
SARCORE_HD bool counts(F x, const uint8_t* mask, int i) {
    if constexpr (Masked) return (x == x) & (mask[i] != 0);
    return x == x;
}

template <bool Masked, typename T>
SARCORE_HD void linear_loop(const T* x, const uint8_t* mask, int n, const Axis& axis, position_t<compute_t<T>>* out) {
    using F = compute_t<T>;
    const F lo = static_cast<F>(axis.lo), scale = axis_scale<F>(axis), top = static_cast<F>(axis.bins - 1);
    const position_t<F> trash = trash_position<F>(axis.bins);
    for (int i = 0; i < n; ++i) {
        const F v = widen(x[i]);
        const position_t<F> position = fixed_position(v, lo, scale, top);
        out[i] = counts<Masked, T>(v, mask, i) ? position : trash;
    }
}

template <bool Masked, typename T>
SARCORE_HD void pair_loop(const T* x, const T* y, const uint8_t* mask, int n, const Axis& axis,
                          position_t<compute_t<T>>* out_x, position_t<compute_t<T>>* out_y) {
    using F = compute_t<T>;
    const F lo = static_cast<F>(axis.lo), scale = axis_scale<F>(axis), top = static_cast<F>(axis.bins - 1);
    const position_t<F> trash = trash_position<F>(axis.bins);
    for (int i = 0; i < n; ++i) {
        const F vx = widen(x[i]), vy = widen(y[i]);
        const position_t<F> px = fixed_position(vx, lo, scale, top), py = fixed_position(vy, lo, scale, top);
        const bool valid = counts<Masked, T>(vx, mask, i) & (vy == vy);
        out_x[i] = valid ? px : trash;
        out_y[i] = valid ? py : trash;
    }
}

template <typename T>
SARCORE_HD void index_loop(const T* x, int n, const Axis& axis, int32_t* out) {
    using F = compute_t<T>;
    const F lo = static_cast<F>(axis.lo), scale = axis_scale<F>(axis), top = static_cast<F>(axis.bins - 1);
    for (int i = 0; i < n; ++i) out[i] = slope_index(static_cast<F>(widen(x[i])), lo, scale, top);
}

// out[i] = table[index[i]]. Gather instructions cost more than the arithmetic around them, so a small table is kept in
// four registers and read with two-register permutes; elsewhere plain loads win over gathers.
#if defined(__x86_64__) && defined(__GNUC__)
__attribute__((target("avx512f"))) void lookup_in_registers(const int32_t* index, int n, const float* table,
                                                            float* out) {
    const __m512 t0 = _mm512_loadu_ps(table), t1 = _mm512_loadu_ps(table + 16), t2 = _mm512_loadu_ps(table + 32),
                 t3 = _mm512_loadu_ps(table + 48);
    const __m512i bit5 = _mm512_set1_epi32(32);
    for (int i = 0; i < n; i += 16) {
        const int left = n - i;
        const __mmask16 lanes = static_cast<__mmask16>(left >= 16 ? 0xffff : (1 << left) - 1);
        const __m512i at = _mm512_maskz_loadu_epi32(lanes, index + i);
        const __m512 low = _mm512_permutex2var_ps(t0, at, t1), high = _mm512_permutex2var_ps(t2, at, t3);
        _mm512_mask_storeu_ps(out + i, lanes, _mm512_mask_blend_ps(_mm512_test_epi32_mask(at, bit5), low, high));
    }
}
bool has_registers() {
    static const bool has = __builtin_cpu_supports("avx512f");
    return has;
}
#else
void lookup_in_registers(const int32_t*, int, const float*, float*) {}
bool has_registers() { return false; }
#endif

void lookup(const int32_t* index, int n, const float* table, int entries, float* out) {
    if (entries <= kRegisterEntries && has_registers()) return lookup_in_registers(index, n, table, out);
    for (int i = 0; i < n; ++i) out[i] = table[index[i]];
}
void lookup(const int32_t* index, int n, const double* table, int, double* out) {
    for (int i = 0; i < n; ++i) out[i] = table[index[i]];
}

template <typename T>
SARCORE_HD void store_loop(const compute_t<T>* slopes, const uint8_t* mask, int n, T* out) {
    for (int i = 0; i < n; ++i) out[i] = narrow<T>(mask && mask[i] == 0 ? compute_t<T>(0) : slopes[i]);
}

}  // namespace

#define SARCORE_DEFINE_POSITIONS(T)                                                                          \
    SARCORE_MULTIVERSION void linear_positions(const T* x, const uint8_t* mask, int n, const Axis& axis,     \
                                               position_t<compute_t<T>>* out) {                              \
        mask ? linear_loop<true>(x, mask, n, axis, out) : linear_loop<false>(x, mask, n, axis, out);         \
    }                                                                                                        \
    SARCORE_MULTIVERSION void linear_pair_positions(const T* x, const T* y, const uint8_t* mask, int n,      \
                                                    const Axis& axis, position_t<compute_t<T>>* out_x,       \
                                                    position_t<compute_t<T>>* out_y) {                       \
        mask ? pair_loop<true>(x, y, mask, n, axis, out_x, out_y)                                            \
             : pair_loop<false>(x, y, mask, n, axis, out_x, out_y);                                          \
    }                                                                                                        \
    void hard_positions(const T* x, const T* partner, const uint8_t* mask, int n, const Axis& axis,          \
                        position_t<compute_t<T>>* out) {                                                     \
        using F = compute_t<T>;                                                                              \
        for (int i = 0; i < n; ++i) {                                                                        \
            const bool valid = (!mask || mask[i]) && (!partner || widen(partner[i]) == widen(partner[i]));   \
            out[i] = static_cast<position_t<F>>(valid ? hard_bin(x[i], axis) : axis.bins) << Fixed<F>::bits; \
        }                                                                                                    \
    }
SARCORE_DEFINE_POSITIONS(uint8_t)
SARCORE_DEFINE_POSITIONS(uint16_t)
SARCORE_DEFINE_POSITIONS(Half)
SARCORE_DEFINE_POSITIONS(BFloat16)
SARCORE_DEFINE_POSITIONS(float)
SARCORE_DEFINE_POSITIONS(double)
#undef SARCORE_DEFINE_POSITIONS

#define SARCORE_DEFINE_SLOPES(T)                                                                                    \
    SARCORE_MULTIVERSION static void slope_indices(const T* x, int n, const Axis& axis, int32_t* out) {             \
        index_loop(x, n, axis, out);                                                                                \
    }                                                                                                               \
    SARCORE_MULTIVERSION static void store_slopes(const compute_t<T>* slopes, const uint8_t* mask, int n, T* out) { \
        mask ? store_loop<T>(slopes, mask, n, out) : store_loop<T>(slopes, nullptr, n, out);                        \
    }                                                                                                               \
    void lookup_slopes(const T* x, int n, const Axis& axis, const compute_t<T>* table, compute_t<T>* out) {         \
        int32_t index[kBlock];                                                                                      \
        slope_indices(x, n, axis, index);                                                                           \
        lookup(index, n, table, axis.bins, out);                                                                    \
    }
SARCORE_DEFINE_SLOPES(Half)
SARCORE_DEFINE_SLOPES(BFloat16)
SARCORE_DEFINE_SLOPES(float)
SARCORE_DEFINE_SLOPES(double)
#undef SARCORE_DEFINE_SLOPES

// ------ drivers

template <typename T>
void histogram_cpu(const T* x, const uint8_t* mask, Images images, Axis axis, Kernel kernel, int threads,
                   compute_t<T>* out) {
    using F = compute_t<T>;
    threads = team_for(images, threads);
    const int64_t tasks = images.tasks();
    std::vector<total_t<F>> masses(static_cast<size_t>(images.count * tasks) * axis.bins, 0);
    parallel_for(images.count * tasks, threads, [&](int64_t task) {
        const int64_t image = task / tasks, first = task % tasks * kChunk * kChunksPerTask;
        const int64_t last = std::min(images.pixels, first + int64_t{kChunk} * kChunksPerTask),
                      offset = image * images.pixels;
        Tally<F> tally(axis.bins);
        position_t<F> positions[kBlock];
        for (int64_t p = first; p < last; p += kBlock) {
            const int n = static_cast<int>(std::min<int64_t>(kBlock, last - p));
            const uint8_t* m = mask ? mask + offset + p : nullptr;
            if (kernel == Kernel::hard) {
                hard_positions(x + offset + p, static_cast<const T*>(nullptr), m, n, axis, positions);
            } else {
                linear_positions(x + offset + p, m, n, axis, positions);
            }
            tally.add(positions, n);
        }
        tally.drain(masses.data() + task * axis.bins);
    });
    parallel_for(images.count, tasks > 1 || images.count > 256 ? threads : 1, [&](int64_t image) {
        total_t<F>* mass = masses.data() + image * tasks * axis.bins;
        merge_tasks<F>(mass, tasks, axis.bins);
        finish_histogram<F>(mass, axis.bins, pixels_of<F>(mass, axis.bins), out + image * axis.bins);
    });
}

template <typename T>
void histogram_backward_cpu(const compute_t<T>* gradient, const T* x, const uint8_t* mask, Images images, Axis axis,
                            int threads, T* out) {
    using F = compute_t<T>;
    threads = team_for(images, threads);
    const int64_t tasks = images.tasks();
    parallel_for(images.count * tasks, threads, [&](int64_t task) {
        const int64_t image = task / tasks, first = task % tasks * kChunk * kChunksPerTask;
        const int64_t last = std::min(images.pixels, first + int64_t{kChunk} * kChunksPerTask),
                      offset = image * images.pixels;
        F table[kMaxBins], slopes[kBlock];
        for (int j = 0; j < axis.bins; ++j)
            table[j] = slope_entry(gradient + image * axis.bins, j, axis_scale<F>(axis));
        std::fill(table + axis.bins, table + std::max(axis.bins, kRegisterEntries), F(0));
        for (int64_t p = offset + first; p < offset + last; p += kBlock) {
            const int n = static_cast<int>(std::min<int64_t>(kBlock, offset + last - p));
            lookup_slopes(x + p, n, axis, table, slopes);
            store_slopes(slopes, mask ? mask + p : nullptr, n, out + p);
        }
    });
}

// ------ instances

#define SARCORE_INSTANCE(T) \
    template void histogram_cpu<T>(const T*, const uint8_t*, Images, Axis, Kernel, int, compute_t<T>*);
SARCORE_INSTANCE(uint8_t)
SARCORE_INSTANCE(uint16_t)
SARCORE_INSTANCE(Half)
SARCORE_INSTANCE(BFloat16)
SARCORE_INSTANCE(float)
SARCORE_INSTANCE(double)
#undef SARCORE_INSTANCE
#define SARCORE_INSTANCE(T) \
    template void histogram_backward_cpu<T>(const compute_t<T>*, const T*, const uint8_t*, Images, Axis, int, T*);
SARCORE_INSTANCE(Half)
SARCORE_INSTANCE(BFloat16)
SARCORE_INSTANCE(float)
SARCORE_INSTANCE(double)
#undef SARCORE_INSTANCE

}  // namespace sarcore
