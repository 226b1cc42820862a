// The gradient of extract_patches on the CPU, in gather form.
//
// A row of the scene adds up the segments of all patches that cover it, on a line of the padded scene that stays in the
// cache; then padding is folded back onto the pixels it copied, and the slope of the radiometry multiplies the sum. No
// two threads write to one place. Floor: one read of the patches' gradient and one write of the scene's.
#include <cstring>

#include "common/geometry.h"
#include "common/parallel.h"
#include "patches/extract_cover.h"
#include "radiometry/blocks.h"

namespace sarcore {

// ------ vector loops

#define SARCORE_DEFINE_ADD(G, F)                                                       \
    SARCORE_MULTIVERSION static void add_block(const G* gradient, int64_t n, F* sum) { \
        for (int64_t i = 0; i < n; ++i) sum[i] += static_cast<F>(widen(gradient[i]));  \
    }
SARCORE_DEFINE_ADD(Half, float)
SARCORE_DEFINE_ADD(BFloat16, float)
SARCORE_DEFINE_ADD(float, float)
SARCORE_FOR_FLOATING(SARCORE_DEFINE_ADD, double)
#undef SARCORE_DEFINE_ADD

namespace {

// ------ one row

// Numbers per pixel: complex gradients are summed as pairs.
template <typename G>
constexpr int64_t parts_of = std::is_same_v<G, Complex64> ? 2 : 1;

template <typename F>
void fold(const F* padded, const Cover& cover, int64_t parts, F* total) {
    const PatchLayout& l = cover.layout();
    const auto [first, last] = cover.columns();
    std::fill(total, total + l.width * parts, F(0));
    const auto add = [&](int64_t x, int64_t source) {
        for (int64_t part = 0; part < parts; ++part) total[source * parts + part] += padded[(x - first) * parts + part];
    };
    const auto add_padding = [&](int64_t begin, int64_t end) {
        if (l.pad == Pad::constant) return;
        for (int64_t x = begin; x < end; ++x) add(x, source_of(x, l.width, l.pad));
    };
    add_padding(first, std::min<int64_t>(last, 0));
    for (int64_t x = std::max<int64_t>(first, 0); x < std::min(last, l.width); ++x) add(x, x);
    add_padding(std::max(first, l.width), last);
}

template <typename F, typename T>
void store_row(const F* total, int64_t n, T* out) {
    if constexpr (std::is_same_v<F, T> || std::is_same_v<T, Complex64>) {
        memcpy(out, total, static_cast<size_t>(n) * sizeof(T));
    } else {
        for (int64_t p = 0; p < n; p += kBlock)
            store_block(total + p, static_cast<int>(std::min<int64_t>(kBlock, n - p)), false, out + p);
    }
}

template <typename F, typename T>
void chain_row(const F* total, const T* x, int64_t n, const Mapping<F>& m, T* out) {
    for (int64_t p = 0; p < n; p += kBlock) {
        const int count = static_cast<int>(std::min<int64_t>(kBlock, n - p));
        F slope[kBlock];
        load_block(x + p, count, m.nodata, slope);
        encode_slopes(slope, count, m, slope);
        for (int i = 0; i < count; ++i) out[p + i] = chained(total[p + i] * slope[i], x[p + i]);
    }
}

template <typename G, typename F>
void sum_row(const Cover& cover, const G* gradient, int64_t channel, int64_t y, F* padded) {
    const PatchLayout& l = cover.layout();
    const auto [first, last] = cover.columns();
    constexpr int64_t parts = parts_of<G>;
    std::fill(padded, padded + (last - first) * parts, F(0));
    for_places(y, l.height, l.pad, cover.rows().first, cover.rows().last, [&, first = first](int64_t place) {
        cover.for_patches(cover.covering(place), [&](int64_t row, int64_t column, int64_t number) {
            const G* segment = gradient + ((number * l.channels + channel) * l.h + place - row) * l.w;
            F* sum = padded + (column - first) * parts;
            if constexpr (parts == 2)
                add_block(reinterpret_cast<const float*>(segment), 2 * l.w, sum);
            else
                add_block(segment, l.w, sum);
        });
    });
}

}  // namespace

// ------ driver

template <typename T, typename G>
void extract_backward_cpu(const PatchLayout& l, const G* gradient, const T* scene, const Radiometry* radiometry,
                          int threads, T* out) {
    using F = wider_t<T, G>;
    if (l.count == 0) {
        memset(static_cast<void*>(out), 0, static_cast<size_t>(l.channels * l.height * l.width) * sizeof(T));
        return;
    }
    const Cover cover(l);
    Mapping<F> m{};
    if (radiometry) m = encoding<F, T>(*radiometry);
    const int64_t padded = (cover.columns().last - cover.columns().first) * parts_of<G>;
    const int64_t rows = std::max<int64_t>(1, kSerialPixels / 4 / l.width), lines = l.channels * l.height;
    const int64_t elements = l.count * l.channels * l.h * l.w;
    parallel_for((lines + rows - 1) / rows, elements < kSerialPixels ? 1 : threads, [&](int64_t task) {
        std::vector<F> sums(static_cast<size_t>(padded)), total(static_cast<size_t>(l.width * parts_of<G>));
        for (int64_t line = task * rows; line < std::min(lines, (task + 1) * rows); ++line) {
            sum_row(cover, gradient, line / l.height, line % l.height, sums.data());
            fold(sums.data(), cover, parts_of<G>, total.data());
            if constexpr (!std::is_same_v<G, Complex64>) {
                if (radiometry) {
                    chain_row(total.data(), scene + line * l.width, l.width, m, out + line * l.width);
                    continue;
                }
            }
            if constexpr (std::is_same_v<T, Complex64> == std::is_same_v<G, Complex64>)
                store_row(total.data(), l.width, out + line * l.width);
        }
    });
}

// ------ instances

#define SARCORE_INSTANCE(T, G) \
    template void extract_backward_cpu<T, G>(const PatchLayout&, const G*, const T*, const Radiometry*, int, T*);
SARCORE_FOR_GRADIENTS(SARCORE_INSTANCE)
#undef SARCORE_INSTANCE

}  // namespace sarcore
