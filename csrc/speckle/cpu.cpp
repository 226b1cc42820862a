// Speckle on the CPU.
//
// A task is a run of quads of one image, row by row; blocks of 128 quads become gains in the first-level cache
// (cpu_field.cpp, cpu_waves.cpp) and meet the pixels in one pass. Which thread runs a task does not matter: a quad's
// numbers depend on its place alone. Floor: sizeof(T) bytes read and written per pixel; what costs is the arithmetic,
// about one cycle per random word, two per logarithm.
#include <algorithm>
#include <atomic>
#include <vector>

#include "common/parallel.h"
#include "speckle/cpu_waves.h"
#include "speckle/kernels.h"

namespace sarcore {

// ------ pixels and gains

namespace {

// n pixels times their gains; returns whether a valid one was negative. x may be null: ones.
template <typename T>
SARCORE_HD bool scale_loop(const T* x, const uint8_t* mask, const float* gain, int n, T* out) {
    using F = compute_t<T>;
    int negative = 0;
    if (!x) {
        for (int i = 0; i < n; ++i) out[i] = narrow<T>(static_cast<F>(gain[i]));
    } else if (!mask) {
        for (int i = 0; i < n; ++i) {
            const F v = widen(x[i]);
            negative |= v < F(0);
            out[i] = narrow<T>(v * static_cast<F>(gain[i]));
        }
    } else {
        for (int i = 0; i < n; ++i) {
            const F v = widen(x[i]);
            const bool valid = mask[i] != 0;
            negative |= valid & (v < F(0));
            out[i] = valid ? narrow<T>(v * static_cast<F>(gain[i])) : x[i];
        }
    }
    return negative != 0;
}

// n decibels or logarithms plus their terms.
template <typename T>
SARCORE_HD void shift_loop(const T* x, const uint8_t* mask, const float* term, int n, T* out) {
    using F = compute_t<T>;
    if (!x) {
        for (int i = 0; i < n; ++i) out[i] = narrow<T>(static_cast<F>(term[i]));
    } else if (!mask) {
        for (int i = 0; i < n; ++i) out[i] = narrow<T>(widen(x[i]) + static_cast<F>(term[i]));
    } else {
        for (int i = 0; i < n; ++i) {
            const T moved = narrow<T>(widen(x[i]) + static_cast<F>(term[i]));
            out[i] = mask[i] != 0 ? moved : x[i];
        }
    }
}

#define SARCORE_PIXEL_LOOPS(T)                                                                           \
    SARCORE_MULTIVERSION bool scale(const T* x, const uint8_t* mask, const float* gain, int n, T* out) { \
        return scale_loop(x, mask, gain, n, out);                                                        \
    }                                                                                                    \
    SARCORE_MULTIVERSION void shift(const T* x, const uint8_t* mask, const float* term, int n, T* out) { \
        shift_loop(x, mask, term, n, out);                                                               \
    }
SARCORE_PIXEL_LOOPS(Half)
SARCORE_PIXEL_LOOPS(BFloat16)
SARCORE_PIXEL_LOOPS(float)
SARCORE_PIXEL_LOOPS(double)
#undef SARCORE_PIXEL_LOOPS

// n complex pixels, at most one block, times their gains. Real and imaginary parts go through arrays of their own: side
// by side in one vector GCC 12 would fuse their multiplications and additions, even with contraction off.
SARCORE_MULTIVERSION void turn(const float* x, const uint8_t* mask, const float* gain, int n, bool conjugate,
                               float* out) {
    const float sign = conjugate ? -1.0f : 1.0f;
    float re[4 * kQuads], im[4 * kQuads];
    for (int i = 0; i < n; ++i) {
        const float a = gain[2 * i], b = sign * gain[2 * i + 1];
        re[i] = x ? x[2 * i] * a - x[2 * i + 1] * b : a;
        if (x && mask) re[i] = mask[i] != 0 ? re[i] : x[2 * i];
    }
    for (int i = 0; i < n; ++i) {
        const float a = gain[2 * i], b = sign * gain[2 * i + 1];
        im[i] = x ? x[2 * i] * b + x[2 * i + 1] * a : b;
        if (x && mask) im[i] = mask[i] != 0 ? im[i] : x[2 * i + 1];
    }
    for (int i = 0; i < n; ++i) {
        out[2 * i] = re[i];
        out[2 * i + 1] = im[i];
    }
}

// ------ rows of an image in the grid of quads

struct Grid {
    int64_t first_group, groups, skip;  // of a row: its first quad, how many, and pixels of that quad before the image
    Grid(const Place& place, int64_t width)
        : first_group(place.x >> 2), groups(((place.x + width + 3) >> 2) - (place.x >> 2)), skip(place.x & 3) {}
};

// Fills the block with the quads first, first + 1, ... of the image.
void place_block(const Place& place, const Grid& grid, int64_t first, int count, Block& block) {
    block.count = count;
    for (int done = 0; done < count;) {
        const int64_t row = (first + done) / grid.groups, group = (first + done) % grid.groups;
        const int part = static_cast<int>(std::min<int64_t>(count - done, grid.groups - group));
        const uint32_t g = static_cast<uint32_t>(grid.first_group + group), r = static_cast<uint32_t>(place.y + row);
        for (int i = 0; i < part; ++i) {
            block.group[done + i] = g + static_cast<uint32_t>(i);
            block.row[done + i] = r;
        }
        done += part;
    }
}

// Calls body(first pixel of the image, where its gain stands in the block, how many) for each row in the block.
template <typename Body>
void for_rows(const Grid& grid, int64_t width, int64_t first, int count, const Body& body) {
    for (int done = 0; done < count;) {
        const int64_t row = (first + done) / grid.groups, group = (first + done) % grid.groups;
        const int part = static_cast<int>(std::min<int64_t>(count - done, grid.groups - group));
        const int64_t begin = std::max<int64_t>(4 * group - grid.skip, 0);
        const int64_t end = std::min<int64_t>(4 * (group + part) - grid.skip, width);
        body(row * width + begin, 4 * done + static_cast<int>(begin - (4 * group - grid.skip)),
             static_cast<int>(end - begin));
        done += part;
    }
}

constexpr int64_t kTaskQuads = 32 * kQuads;
constexpr int64_t kSerialQuads = 2048;  // fewer than this are done before a second thread has woken up

// Runs task(image, first quad, quads) over all images; true if any task returned true.
template <typename Task>
bool for_tasks(const SpeckleArguments& a, int threads, const Task& task) {
    const int64_t images = a.count * a.channels;
    if (images == 0 || a.pixels() == 0) return false;
    const int64_t most = (a.width + 6) / 4 * a.height;  // quads of an image, at any origin
    const int64_t parts = (most + kTaskQuads - 1) / kTaskQuads;
    std::atomic<bool> any{false};
    parallel_for(images * parts, images * most < kSerialQuads ? 1 : threads, [&](int64_t i) {
        const Grid grid(a.place(i / parts), a.width);
        const int64_t begin = i % parts * kTaskQuads, end = std::min(begin + kTaskQuads, grid.groups * a.height);
        if (begin < end && task(i / parts, grid, begin, end)) any = true;
    });
    return any;
}

// ------ independent speckle

struct Samplers {
    Sampler speckle, texture;
    Stream stream, texture_stream;
    bool textured, bounded;
    Samplers(const SpeckleArguments& a, int64_t image) {
        const Place place = a.place(image);
        const float looks = a.looks_for(image);
        speckle = sampler_of(looks, 1.0f / looks);
        stream = stream_of(a.seed, place.image, a.channel(image), Purpose::speckle);
        textured = a.texture > 0.0f;
        if (textured) texture = sampler_of(a.texture, 1.0f / a.texture);
        bounded = speckle.factors > 0 && !textured;
        texture_stream = stream_of(a.seed, place.image, a.channel(image), Purpose::texture);
    }
    void intensities(const Block& block, QuadValues& out) const {
        block_gamma(block, stream, speckle, out);
        if (!textured) return;
        QuadValues factor;
        block_gamma(block, texture_stream, texture, factor);
        multiply(factor, block.count, out);
    }
};

template <typename T>
bool apply_gains(const T* x, const SpeckleArguments& a, int64_t first, const float* gain, int n, T* out) {
    const T* const from = x ? x + first : nullptr;
    const uint8_t* const mask = a.mask ? a.mask + first : nullptr;
    if (a.domain == SpeckleDomain::db || a.domain == SpeckleDomain::log) {
        shift(from, mask, gain, n, out + first);
        return false;
    }
    return scale(from, mask, gain, n, out + first) && a.refuse;
}

template <typename T>
bool independent(const T* x, const SpeckleArguments& a, int64_t image, const Grid& grid, int64_t begin, int64_t end,
                 T* out) {
    const Place place = a.place(image);
    const Samplers samplers(a, image);
    Block block;
    QuadValues values;
    float gain[4 * kQuads];
    bool negative = false;
    for (int64_t first = begin; first < end; first += kQuads) {
        place_block(place, grid, first, static_cast<int>(std::min<int64_t>(kQuads, end - first)), block);
        samplers.intensities(block, values);
        interleave(values, block.count, gain);
        // No product of uniforms is below the smallest gain.
        if (!samplers.bounded || a.domain != SpeckleDomain::intensity) gains(a.domain, 4 * block.count, gain);
        for_rows(grid, a.width, first, block.count, [&](int64_t pixel, int at, int n) {
            negative |= apply_gains(x, a, image * a.pixels() + pixel, gain + at, n, out);
        });
    }
    return negative;
}

void independent_complex(const float* x, const SpeckleArguments& a, int64_t image, const Grid& grid, int64_t begin,
                         int64_t end, float* out) {
    const Place place = a.place(image);
    const Samplers samplers(a, image);
    Block block;
    QuadValues values;
    QuadWords angle;
    float gain[8 * kQuads];
    for (int64_t first = begin; first < end; first += kQuads) {
        place_block(place, grid, first, static_cast<int>(std::min<int64_t>(kQuads, end - first)), block);
        samplers.intensities(block, values);
        block_words(block, samplers.stream, 1, angle);
        directions(values, angle, block.count, gain);
        for_rows(grid, a.width, first, block.count, [&](int64_t pixel, int at, int n) {
            const int64_t p = image * a.pixels() + pixel;
            turn(x ? x + 2 * p : nullptr, a.mask ? a.mask + p : nullptr, gain + 2 * at, n, a.conjugate, out + 2 * p);
        });
    }
}

// ------ correlated speckle: tiles, because each needs a border of random numbers around it

template <typename Apply>
bool for_tiles(const SpeckleArguments& a, int threads, const Apply& apply) {
    const int64_t rows = (a.height + kTileRows - 1) / kTileRows, columns = (a.width + kTileColumns - 1) / kTileColumns;
    const int64_t tiles = rows * columns, images = a.count * a.channels;
    std::atomic<bool> any{false};
    parallel_for(images * tiles, images * a.pixels() < 4 * kSerialQuads ? 1 : threads, [&](int64_t i) {
        const Tile tile = Tile::of(a, i / tiles, i % tiles / columns * kTileRows, i % columns * kTileColumns);
        std::vector<float> field(static_cast<size_t>(2) * tile.rows * tile.columns);
        tile_gains(a, tile, field.data());
        const int step = a.domain == SpeckleDomain::complex ? 2 : 1;
        for (int r = 0; r < tile.rows; ++r)
            if (apply(tile.image * a.pixels() + (tile.y + r) * a.width + tile.x, field.data() + step * r * tile.columns,
                      tile.columns))
                any = true;
    });
    return any;
}

}  // namespace

// ------ entry points

template <typename T>
bool speckle_cpu(const T* x, const SpeckleArguments& a, int threads, T* out) {
    if (a.taps_x)
        return for_tiles(a, threads, [&](int64_t first, const float* gain, int n) {
            return apply_gains(x, a, first, gain, n, out);
        });
    return for_tasks(a, threads, [&](int64_t image, const Grid& grid, int64_t begin, int64_t end) {
        return independent(x, a, image, grid, begin, end, out);
    });
}

template bool speckle_cpu(const Half*, const SpeckleArguments&, int, Half*);
template bool speckle_cpu(const BFloat16*, const SpeckleArguments&, int, BFloat16*);
template bool speckle_cpu(const float*, const SpeckleArguments&, int, float*);
template bool speckle_cpu(const double*, const SpeckleArguments&, int, double*);

bool speckle_complex_cpu(const float* x, const SpeckleArguments& a, int threads, float* out) {
    if (a.taps_x)
        return for_tiles(a, threads, [&](int64_t first, const float* gain, int n) {
            turn(x ? x + 2 * first : nullptr, a.mask ? a.mask + first : nullptr, gain, n, a.conjugate, out + 2 * first);
            return false;
        });
    return for_tasks(a, threads, [&](int64_t image, const Grid& grid, int64_t begin, int64_t end) {
        independent_complex(x, a, image, grid, begin, end, out);
        return false;
    });
}

}  // namespace sarcore
