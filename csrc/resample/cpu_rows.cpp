#include "resample/cpu_rows.h"

#include "common/parallel.h"

namespace sarcore {

namespace {

// ------ vertical: sums of rows, four at a time, in order

template <int taps, bool add, typename F>
SARCORE_HD void blend_loop(const F* __restrict rows, int64_t stride, const F* weights, int64_t n, F* __restrict out) {
    F w[taps];
    for (int k = 0; k < taps; ++k) w[k] = weights[k];
    for (int64_t i = 0; i < n; ++i) {
        F sum = add ? out[i] + w[0] * rows[i] : w[0] * rows[i];
        for (int k = 1; k < taps; ++k) sum += w[k] * rows[k * stride + i];
        out[i] = sum;
    }
}

template <bool add, typename F>
SARCORE_HD void blend_some(const F* rows, int64_t stride, const F* weights, int64_t taps, int64_t n, F* out) {
    switch (taps) {
        case 1:
            return blend_loop<1, add>(rows, stride, weights, n, out);
        case 2:
            return blend_loop<2, add>(rows, stride, weights, n, out);
        case 3:
            return blend_loop<3, add>(rows, stride, weights, n, out);
        default:
            return blend_loop<4, add>(rows, stride, weights, n, out);
    }
}

template <typename F>
SARCORE_HD void blend(const F* rows, int64_t stride, const F* weights, int64_t taps, int64_t n, F* out) {
    if (taps == 0) return static_cast<void>(std::fill_n(out, n, F(0)));
    blend_some<false>(rows, stride, weights, taps, n, out);
    for (int64_t k = 4; k < taps; k += 4) blend_some<true>(rows + k * stride, stride, weights + k, taps - k, n, out);
}

// ------ horizontal: every lane a row

template <typename F>
SARCORE_HD void blend_lanes(const F* columns, int64_t first, const Table<F>& table, int64_t a, int64_t b, F* out) {
    typedef F Vector __attribute__((vector_size(64), may_alias));
    const auto* in = reinterpret_cast<const Vector*>(columns) - first;
    auto* results = reinterpret_cast<Vector*>(out) - a;
    const InputRange* spans = table.spans.data();
    const F* weights = table.of(a);
    const int64_t stride = table.taps;
    for (int64_t j = a; j < b; ++j, weights += stride) {
        const int64_t taps = spans[j].last - spans[j].first;
        const Vector* pixels = in + spans[j].first;
        if (taps == 4) {
            results[j] =
                ((weights[0] * pixels[0] + weights[1] * pixels[1]) + weights[2] * pixels[2]) + weights[3] * pixels[3];
        } else if (taps == 2) {
            results[j] = weights[0] * pixels[0] + weights[1] * pixels[1];
        } else {
            Vector sum = {};
            if (taps > 0) sum = weights[0] * pixels[0];
            for (int64_t k = 1; k < taps; ++k) sum += weights[k] * pixels[k];
            results[j] = sum;
        }
    }
}

// ------ transposition, in squares of 16 bytes a side

#if defined(__clang__)
#define SARCORE_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SARCORE_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, Order{__VA_ARGS__})
#endif

SARCORE_HD void transpose_square(const float* const* rows, int64_t i, float* const* out, int64_t at) {
    typedef float V __attribute__((vector_size(16), aligned(4), may_alias));
    typedef int32_t Order [[maybe_unused]] __attribute__((vector_size(16)));
    const V a = *reinterpret_cast<const V*>(rows[0] + i), b = *reinterpret_cast<const V*>(rows[1] + i);
    const V c = *reinterpret_cast<const V*>(rows[2] + i), d = *reinterpret_cast<const V*>(rows[3] + i);
    const V ac = SARCORE_SHUFFLE(a, c, 0, 4, 1, 5), bd = SARCORE_SHUFFLE(b, d, 0, 4, 1, 5);
    const V ac2 = SARCORE_SHUFFLE(a, c, 2, 6, 3, 7), bd2 = SARCORE_SHUFFLE(b, d, 2, 6, 3, 7);
    *reinterpret_cast<V*>(out[0] + at) = SARCORE_SHUFFLE(ac, bd, 0, 4, 1, 5);
    *reinterpret_cast<V*>(out[1] + at) = SARCORE_SHUFFLE(ac, bd, 2, 6, 3, 7);
    *reinterpret_cast<V*>(out[2] + at) = SARCORE_SHUFFLE(ac2, bd2, 0, 4, 1, 5);
    *reinterpret_cast<V*>(out[3] + at) = SARCORE_SHUFFLE(ac2, bd2, 2, 6, 3, 7);
}

SARCORE_HD void transpose_square(const double* const* rows, int64_t i, double* const* out, int64_t at) {
    typedef double V __attribute__((vector_size(16), aligned(8), may_alias));
    typedef int64_t Order [[maybe_unused]] __attribute__((vector_size(16)));
    const V a = *reinterpret_cast<const V*>(rows[0] + i), b = *reinterpret_cast<const V*>(rows[1] + i);
    *reinterpret_cast<V*>(out[0] + at) = SARCORE_SHUFFLE(a, b, 0, 2);
    *reinterpret_cast<V*>(out[1] + at) = SARCORE_SHUFFLE(a, b, 1, 3);
}

template <typename F>
SARCORE_HD void rows_to_columns(const F* const* rows, int64_t n, F* columns) {
    constexpr int side = 16 / static_cast<int>(sizeof(F)), lanes = kRows<F>;
    for (int r = 0; r < lanes; r += side) {
        int64_t i = 0;
        for (; i + side <= n; i += side) {
            F* out[side];
            for (int c = 0; c < side; ++c) out[c] = columns + (i + c) * lanes;
            transpose_square(rows + r, i, out, r);
        }
        for (; i < n; ++i)
            for (int k = r; k < r + side; ++k) columns[i * lanes + k] = rows[k][i];
    }
}

template <typename F>
SARCORE_HD void columns_to_rows(const F* columns, int64_t n, int count, F* const* rows) {
    constexpr int side = 16 / static_cast<int>(sizeof(F)), lanes = kRows<F>;
    for (int r = 0; r < count; r += side) {
        int64_t i = 0;
        for (; i + side <= n && r + side <= count; i += side) {
            const F* in[side];
            for (int c = 0; c < side; ++c) in[c] = columns + (i + c) * lanes;
            transpose_square(in, r, rows + r, i);
        }
        for (; i < n; ++i)
            for (int k = r; k < std::min(count, r + side); ++k) rows[k][i] = columns[i * lanes + k];
    }
}

// ------ elements

template <typename T>
SARCORE_HD void load_loop(const T* __restrict x, int64_t n, int components, compute_t<T>* __restrict out) {
    if (components == 1) {
        for (int64_t i = 0; i < n; ++i) out[i] = element_value(x[i]);
    } else {
        for (int64_t i = 0; i < n; ++i) out[i] = element_value(x[2 * i]);
    }
}

template <typename T>
SARCORE_HD void finish_loop(const compute_t<T>* __restrict row, int64_t n, int components, const Finish& finish,
                            const T* __restrict upstream, T* __restrict out) {
    using F = compute_t<T>;
    const F low = static_cast<F>(finish.low), high = static_cast<F>(finish.high);
    if (upstream) {
        for (int64_t i = 0; i < n; ++i) {
            const bool inside = (row[i] >= low) & (row[i] <= high);
            out[i] = inside ? upstream[i] : T{};
        }
    } else if (components == 2) {
        for (int64_t i = 0; i < n; ++i) out[2 * i] = element_of<T>(row[i]);
    } else if (finish.clamp) {
        for (int64_t i = 0; i < n; ++i) out[i] = element_of<T>(clamped_to(row[i], low, high));
    } else {
        for (int64_t i = 0; i < n; ++i) out[i] = element_of<T>(row[i]);
    }
}

}  // namespace

#define SARCORE_DEFINE_ROWS(F)                                                                                     \
    SARCORE_MULTIVERSION void blend_rows(const F* rows, int64_t stride, const F* weights, int64_t taps, int64_t n, \
                                         F* out) {                                                                 \
        blend(rows, stride, weights, taps, n, out);                                                                \
    }                                                                                                              \
    SARCORE_MULTIVERSION void blend_columns(const F* columns, int64_t first, const Table<F>& table, int64_t a,     \
                                            int64_t b, F* out) {                                                   \
        blend_lanes(columns, first, table, a, b, out);                                                             \
    }                                                                                                              \
    SARCORE_MULTIVERSION void to_columns(const F* const* rows, int64_t n, F* columns) {                            \
        rows_to_columns(rows, n, columns);                                                                         \
    }                                                                                                              \
    SARCORE_MULTIVERSION void to_rows(const F* columns, int64_t n, int count, F* const* rows) {                    \
        columns_to_rows(columns, n, count, rows);                                                                  \
    }
SARCORE_DEFINE_ROWS(float)
SARCORE_DEFINE_ROWS(double)
#undef SARCORE_DEFINE_ROWS

#define SARCORE_DEFINE_ELEMENTS(T)                                                                                 \
    SARCORE_MULTIVERSION void load_row(const T* x, int64_t n, int components, compute_t<T>* out) {                 \
        load_loop(x, n, components, out);                                                                          \
    }                                                                                                              \
    SARCORE_MULTIVERSION void finish_row(const compute_t<T>* row, int64_t n, int components, const Finish& finish, \
                                         const T* upstream, T* out) {                                              \
        finish_loop(row, n, components, finish, upstream, out);                                                    \
    }
SARCORE_FOR_RESAMPLED(SARCORE_DEFINE_ELEMENTS)
#undef SARCORE_DEFINE_ELEMENTS

}  // namespace sarcore
