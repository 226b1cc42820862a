// How elements of a scene become elements of patches on the CPU: by a declared radiometry (the loops of encode), by a
// cast, or as they are; and which of them are data.
#include <cmath>
#include <cstring>

#include "common/parallel.h"
#include "patches/extract.h"
#include "radiometry/blocks.h"

namespace sarcore {

// ------ vector loops

namespace {

template <typename F, typename T>
SARCORE_HD void mark_loop(const T* x, int n, F nodata, uint8_t* data) {
    for (int i = 0; i < n; ++i) {
        const F v = load_value(x[i], nodata);
        data[i] &= static_cast<uint8_t>(v == v);
    }
}

template <typename F, typename Out>
SARCORE_HD void round_loop(const F* v, int n, Out* out) {
    for (int i = 0; i < n; ++i) out[i] = static_cast<Out>(static_cast<int32_t>(v[i]));
}

}  // namespace

#define SARCORE_DEFINE_MARK(T, F)                                                             \
    SARCORE_MULTIVERSION static void mark_block(const T* x, int n, F nodata, uint8_t* data) { \
        mark_loop(x, n, nodata, data);                                                        \
    }
SARCORE_FOR_NARROW_INPUTS(SARCORE_DEFINE_MARK, float)
SARCORE_DEFINE_MARK(double, double)
#undef SARCORE_DEFINE_MARK

// Integers of up to 16 bits, exact in float32.
#define SARCORE_DEFINE_INTEGERS(Out) \
    SARCORE_MULTIVERSION static void cast_block(const float* v, int n, Out* out) { round_loop(v, n, out); }
SARCORE_DEFINE_INTEGERS(uint16_t)
SARCORE_DEFINE_INTEGERS(int16_t)
SARCORE_DEFINE_INTEGERS(int32_t)
SARCORE_DEFINE_INTEGERS(int64_t)
#undef SARCORE_DEFINE_INTEGERS

SARCORE_MULTIVERSION static int32_t count_negative(const int16_t* x, int n, int32_t nodata) {
    int32_t count = 0;
    for (int i = 0; i < n; ++i) count += (x[i] < 0) & (x[i] != nodata);
    return count;
}

// ------ conversions

namespace {

// body(first, count) for blocks of a row.
template <typename Body>
void for_blocks(int64_t n, const Body& body) {
    for (int64_t p = 0; p < n; p += kBlock) body(p, static_cast<int>(std::min<int64_t>(kBlock, n - p)));
}

// A logarithm costs more than a look-up: integers of a large scene are encoded by a table of all their values.
constexpr int64_t kTablePixels = 1 << 18;

template <typename T, typename Out>
bool table_pays(const Radiometry& r, int64_t pixels) {
    if (!std::is_integral_v<T> || pixels < kTablePixels) return false;
    return bend_between(r.unit, r.scale).curve == Curve::log || !std::is_same_v<Out, float>;
}

template <typename T, typename Out, typename F>
std::vector<Out> table_of(const Mapping<F>& m) {
    constexpr int values = 1 << (8 * sizeof(T)), block = 256;
    std::vector<Out> table(values);
    Seen seen;
    for (int p = 0; p < values; p += block) {
        T x[block];
        for (int i = 0; i < block; ++i) x[i] = static_cast<T>(p + i);
        encode_elements(x, block, m, table.data() + p, seen);
    }
    return table;
}

template <typename T, typename Out>
auto by_table(std::vector<Out> table, double nodata) {
    // 1, which is not negative, where no element has the value: NaN, a fraction, beyond 16 bits.
    const bool stands = std::abs(nodata) <= 32768.0 && std::trunc(nodata) == nodata;
    const int32_t none = stands ? static_cast<int32_t>(nodata) : 1;
    return [table = std::move(table), none](const void* x, int64_t n, void* out, Seen& seen) {
        const T* from = static_cast<const T*>(x);
        Out* to = static_cast<Out*>(out);
        const Out* entry = table.data();
        for (int64_t i = 0; i < n; ++i) to[i] = entry[static_cast<std::make_unsigned_t<T>>(from[i])];
        if constexpr (std::is_same_v<T, int16_t>)
            for_blocks(n, [&](int64_t p, int count) { seen.negative += count_negative(from + p, count, none); });
    };
}

template <typename T>
auto marking(compute_t<T> nodata) {
    return [nodata](const void* x, int64_t n, uint8_t* data) {
        for_blocks(n, [&](int64_t p, int count) { mark_block(static_cast<const T*>(x) + p, count, nodata, data + p); });
    };
}

template <typename T, typename Out, typename F>
void cast_elements(const T* x, int n, Out* out) {
    const F none = not_a_number<F>();
    if constexpr (std::is_same_v<Out, F>) {
        load_block(x, n, none, out);
    } else {
        F values[kBlock];
        load_block(x, n, none, values);
        if constexpr (std::is_integral_v<Out>)
            cast_block(values, n, out);
        else
            store_block(values, n, false, out);
    }
}

}  // namespace

template <typename T, typename Out>
Conversion conversion_by_cast() {
    Conversion c{sizeof(T), sizeof(Out), {}, {}, {}};
    if constexpr (!std::is_integral_v<T>) c.mark = marking<T>(not_a_number<compute_t<T>>());
    c.convert = [](const void* x, int64_t n, void* out, Seen&) {
        if constexpr (std::is_same_v<T, Out>) {
            memcpy(out, x, static_cast<size_t>(n) * sizeof(T));
        } else {
            for_blocks(n, [&](int64_t p, int count) {
                cast_elements<T, Out, wider_t<T, Out>>(static_cast<const T*>(x) + p, count, static_cast<Out*>(out) + p);
            });
        }
    };
    return c;
}

template <typename T, typename Out>
Conversion conversion_by_radiometry(const Radiometry& radiometry, Pad pad, int64_t pixels) {
    using F = wider_t<T, Out>;
    Conversion c{sizeof(T), sizeof(Out), {}, {}, {}};
    if (!std::is_integral_v<T> || radiometry.has_value)
        c.mark = marking<T>(encoding<compute_t<T>, T>(radiometry).nodata);
    if (!std::is_integral_v<Out> && radiometry.reserve && pad == Pad::constant) {
        const Out missing = stored<Out>(not_a_number<F>(), true);
        memcpy(c.padding, &missing, sizeof(Out));
    }
    const Mapping<F> m = encoding<F, T>(radiometry);
    if constexpr (std::is_integral_v<T>) {
        if (table_pays<T, Out>(radiometry, pixels)) {
            c.convert = by_table<T>(table_of<T, Out>(m), static_cast<double>(m.nodata));
            return c;
        }
    }
    c.convert = [m](const void* x, int64_t n, void* out, Seen& seen) {
        for_blocks(n, [&](int64_t p, int count) {
            encode_elements(static_cast<const T*>(x) + p, count, m, static_cast<Out*>(out) + p, seen);
        });
    };
    return c;
}

// ------ instances

#define SARCORE_INSTANCE(T, Out) template Conversion conversion_by_radiometry<T, Out>(const Radiometry&, Pad, int64_t);
SARCORE_FOR_INPUTS(SARCORE_INSTANCE, uint8_t)
SARCORE_FOR_INPUTS(SARCORE_INSTANCE, uint16_t)
SARCORE_FOR_INPUTS(SARCORE_INSTANCE, Half)
SARCORE_FOR_INPUTS(SARCORE_INSTANCE, BFloat16)
SARCORE_FOR_INPUTS(SARCORE_INSTANCE, float)
SARCORE_FOR_INPUTS(SARCORE_INSTANCE, double)
#undef SARCORE_INSTANCE
#define SARCORE_INSTANCE(T, Out) template Conversion conversion_by_cast<T, Out>();
SARCORE_FOR_CASTS(SARCORE_INSTANCE)
#undef SARCORE_INSTANCE

}  // namespace sarcore
