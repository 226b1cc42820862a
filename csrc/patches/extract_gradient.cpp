// The gradient of extract_patches on the CPU, in gather form.
//
// A task takes a few rows of the scene and adds up the segments of all patches that cover them, on lines of the padded
// scene that stay in the cache; then padding is folded back onto the pixels it copied, and the slope of the radiometry
// multiplies the sum. No two threads write to one place. Floor: one read of the patches' gradient and one write of the
// scene's.
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

constexpr int64_t kRows = 16;                // that a task sums together
constexpr int64_t kLinesBytes = 256 * 1024;  // of their sums, which stay in the second-level cache

// ------ one row

// Numbers per pixel: complex gradients are summed as pairs.
template <typename G>
constexpr int64_t parts_of = std::is_same_v<G, Complex64> ? 2 : 1;

template <typename F>
void fold(const F* padded, const Cover& cover, int64_t parts, F* total) {
    const PatchLayout& l = cover.layout();
    const auto [first, last] = cover.columns();
    std::fill(total, total + l.width * parts, F(0));
    const auto add_padding = [&, first = first](int64_t begin, int64_t end) {
        if (l.pad == Pad::constant) return;
        for (int64_t x = begin; x < end; ++x)
            for (int64_t part = 0; part < parts; ++part)
                total[source_of(x, l.width, l.pad) * parts + part] += padded[(x - first) * parts + part];
    };
    add_padding(first, std::min<int64_t>(last, 0));
    const int64_t begin = std::max<int64_t>(first, 0), end = std::min(last, l.width);
    for (int64_t i = begin * parts; i < end * parts; ++i) total[i] += padded[i - first * parts];
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

// Adds what stands at rows y to `last` of the padded scene, to lines of `pitch` numbers from row y on.
template <typename G, typename F>
void add_rows(const Cover& cover, const G* gradient, int64_t channel, int64_t y, int64_t last, int64_t pitch,
              F* lines) {
    const PatchLayout& l = cover.layout();
    constexpr int64_t parts = parts_of<G>;
    const int64_t column0 = cover.columns().first;
    cover.for_patches(cover.covering(y, last), [&](int64_t row, int64_t column, int64_t number) {
        for (int64_t at = std::max(y, row); at < std::min(last, row + l.h); ++at) {
            const G* segment = gradient + ((number * l.channels + channel) * l.h + at - row) * l.w;
            F* sum = lines + (at - y) * pitch + (column - column0) * parts;
            if constexpr (parts == 2)
                add_block(reinterpret_cast<const float*>(segment), 2 * l.w, sum);
            else
                add_block(segment, l.w, sum);
        }
    });
}

// Whether row y of the scene stands at no other place of the padded scene.
bool stands_once(const Cover& cover, int64_t y) {
    int64_t places = 0;
    for_places(y, cover.layout().height, cover.layout().pad, cover.rows().first, cover.rows().last,
               [&](int64_t place) { places += place == y ? 1 : 2; });
    return places < 2;
}

// Sums of rows y to `last` of the scene, at most: returns where it stopped. Several rows at a time read long pieces of
// every patch; rows that padding repeats are summed one by one.
template <typename G, typename F>
int64_t sum_rows(const Cover& cover, const G* gradient, int64_t channel, int64_t y, int64_t last, int64_t pitch,
                 F* lines) {
    const PatchLayout& l = cover.layout();
    int64_t end = y;
    while (end < last && stands_once(cover, end)) ++end;
    std::fill(lines, lines + std::max<int64_t>(end - y, 1) * pitch, F(0));
    if (end > y) {
        add_rows(cover, gradient, channel, y, end, pitch, lines);
        return end;
    }
    for_places(y, l.height, l.pad, cover.rows().first, cover.rows().last,
               [&](int64_t place) { add_rows(cover, gradient, channel, place, place + 1, pitch, lines); });
    return y + 1;
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
    constexpr int64_t parts = parts_of<G>;
    const int64_t pitch = (cover.columns().last - cover.columns().first) * parts;
    const int64_t rows = std::clamp<int64_t>(kLinesBytes / (pitch * static_cast<int64_t>(sizeof(F))), 1, kRows);
    const int64_t bands = (l.height + rows - 1) / rows, elements = l.count * l.channels * l.h * l.w;
    parallel_for(l.channels * bands, elements < kSerialPixels ? 1 : threads, [&](int64_t task) {
        std::vector<F> lines(static_cast<size_t>(rows * pitch)), total(static_cast<size_t>(l.width * parts));
        const int64_t channel = task / bands, last = std::min(l.height, (task % bands + 1) * rows);
        for (int64_t y = task % bands * rows; y < last;) {
            const int64_t end = sum_rows(cover, gradient, channel, y, last, pitch, lines.data());
            for (const F* line = lines.data(); y < end; ++y, line += pitch) {
                const int64_t first = (channel * l.height + y) * l.width;
                fold(line, cover, parts, total.data());
                if constexpr (!std::is_same_v<G, Complex64>) {
                    if (radiometry) {
                        chain_row(total.data(), scene + first, l.width, m, out + first);
                        continue;
                    }
                }
                if constexpr (std::is_same_v<T, Complex64> == std::is_same_v<G, Complex64>)
                    store_row(total.data(), l.width, out + first);
            }
        }
    });
}

// ------ instances

#define SARCORE_INSTANCE(T, G) \
    template void extract_backward_cpu<T, G>(const PatchLayout&, const G*, const T*, const Radiometry*, int, T*);
SARCORE_FOR_GRADIENTS(SARCORE_INSTANCE)
#undef SARCORE_INSTANCE

}  // namespace sarcore
