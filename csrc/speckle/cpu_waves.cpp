// A tile of correlated speckle. One wave is a field of standard normals, convolved along x and then along y with taps
// of unit energy (so that it stays standard normal), both sums in the order of the taps. waves_of(looks) squared waves
// added have the shape waves / 2; the rest of the looks is drawn per pixel, so that the sum has exactly the shape
// `looks`.
#include "speckle/cpu_waves.h"

#include <vector>

#include "common/parallel.h"

namespace sarcore {

namespace {

constexpr int kMaxColumns = kTileColumns + 2 * kMaxTapRadius + 8;  // whole quads

SARCORE_MULTIVERSION void convolve_row(const float* in, const float* taps, int count, int n, float* out) {
    for (int i = 0; i < n; ++i) out[i] = taps[0] * in[i];
    for (int k = 1; k < count; ++k)
        for (int i = 0; i < n; ++i) out[i] += taps[k] * in[i + k];
}

// One row of the smoothed wave: the taps' sum over rows that are `pitch` apart.
SARCORE_MULTIVERSION void convolve_column(const float* in, int pitch, const float* taps, int count, int n, float* out) {
    for (int i = 0; i < n; ++i) out[i] = taps[0] * in[i];
    for (int k = 1; k < count; ++k)
        for (int i = 0; i < n; ++i) out[i] += taps[k] * in[k * pitch + i];
}

SARCORE_MULTIVERSION void add_square(const float* wave, int n, float* sum) {
    for (int i = 0; i < n; ++i) sum[i] += wave[i] * wave[i];
}

SARCORE_MULTIVERSION void finish(const float* rest, int n, float scale, float* sum) {
    if (rest)
        for (int i = 0; i < n; ++i) sum[i] = (0.5f * sum[i] + rest[i]) * scale;
    else
        for (int i = 0; i < n; ++i) sum[i] = 0.5f * sum[i] * scale;
}

SARCORE_MULTIVERSION void times(const float* factor, int n, float* values) {
    for (int i = 0; i < n; ++i) values[i] *= factor[i];
}

SARCORE_MULTIVERSION void complex_pair(const float* texture, const float* re, const float* im, int n, float* out) {
    for (int i = 0; i < n; ++i) {
        const float a = exact_sqrt(texture ? 0.5f * texture[i] : 0.5f);
        out[2 * i] = a * re[i];
        out[2 * i + 1] = a * im[i];
    }
}

class Waves {
  public:
    Waves(const SpeckleArguments& arguments, const Tile& t)
        : a(arguments), tile(t), place(arguments.place(t.image)), channel(arguments.channel(t.image)) {}

    // The smoothed wave of one number, row by row.
    void wave(uint32_t number, float* out) {
        const Stream stream = stream_of(a.seed, place.image, channel, Purpose::waves);
        const int taps_x = 2 * a.radius_x + 1, taps_y = 2 * a.radius_y + 1;
        smooth.resize(static_cast<size_t>(tile.rows + 2 * a.radius_y) * tile.columns);
        for (int r = 0; r < tile.rows + 2 * a.radius_y; ++r) {
            const float* in = row(r - a.radius_y, a.radius_x, [&](const Block& block, QuadValues& values) {
                block_normals(block, stream, number, values);
            });
            convolve_row(in, a.taps_x, taps_x, tile.columns, smooth.data() + r * tile.columns);
        }
        for (int r = 0; r < tile.rows; ++r)
            convolve_column(smooth.data() + r * tile.columns, tile.columns, a.taps_y, taps_y, tile.columns,
                            out + r * tile.columns);
    }

    // Gamma variables of the tile's own pixels.
    const float* gamma_row(int r, const Sampler& sampler, Purpose purpose) {
        const Stream stream = stream_of(a.seed, place.image, channel, purpose);
        return row(r, 0, [&](const Block& block, QuadValues& values) { block_gamma(block, stream, sampler, values); });
    }

  private:
    // Random numbers of the tile's row r from `border` pixels before its first column on.
    template <typename Draw>
    const float* row(int r, int border, const Draw& draw) {
        const int64_t begin = place.x + tile.x - border, end = place.x + tile.x + tile.columns + border;
        const int64_t first = begin >> 2, groups = ((end + 3) >> 2) - first;
        Block block;
        QuadValues values;
        for (int64_t done = 0; done < groups; done += kQuads) {
            block.count = static_cast<int>(std::min<int64_t>(kQuads, groups - done));
            for (int i = 0; i < block.count; ++i) {
                block.group[i] = static_cast<uint32_t>(first + done + i);
                block.row[i] = static_cast<uint32_t>(place.y + tile.y + r);
            }
            draw(block, values);
            interleave(values, block.count, pixels + 4 * done);
        }
        return pixels + (begin - 4 * first);
    }

    const SpeckleArguments& a;
    const Tile& tile;
    const Place place;
    const uint32_t channel;
    std::vector<float> smooth;
    float pixels[kMaxColumns];
};

void complex_gains(const SpeckleArguments& a, const Tile& tile, Waves& waves, float* out) {
    const int size = tile.rows * tile.columns, n = tile.columns;
    std::vector<float> re(size), im(size);
    waves.wave(0, re.data());
    waves.wave(1, im.data());
    for (int r = 0; r < tile.rows; ++r) {
        const float* texture = nullptr;
        if (a.texture > 0.0f) texture = waves.gamma_row(r, sampler_of(a.texture, 1.0f / a.texture), Purpose::texture);
        complex_pair(texture, re.data() + r * n, im.data() + r * n, n, out + 2 * r * n);
    }
}

}  // namespace

void tile_gains(const SpeckleArguments& a, const Tile& tile, float* out) {
    Waves waves(a, tile);
    if (a.domain == SpeckleDomain::complex) return complex_gains(a, tile, waves, out);
    const int size = tile.rows * tile.columns, n = tile.columns;
    const float looks = a.looks_for(tile.image);
    const int count = waves_of(looks);
    std::fill(out, out + size, 0.0f);
    std::vector<float> wave(size);
    for (int number = 0; number < count; ++number) {
        waves.wave(static_cast<uint32_t>(number), wave.data());
        add_square(wave.data(), size, out);
    }
    const float rest = looks - 0.5f * static_cast<float>(count);
    for (int r = 0; r < tile.rows; ++r) {
        float* const row = out + r * n;
        const bool more = !(rest == 0.0f);
        finish(more ? waves.gamma_row(r, sampler_of(rest, 1.0f), Purpose::remainder) : nullptr, n, 1.0f / looks, row);
        if (a.texture > 0.0f)
            times(waves.gamma_row(r, sampler_of(a.texture, 1.0f / a.texture), Purpose::texture), n, row);
    }
    gains(a.domain, size, out);
}

}  // namespace sarcore
