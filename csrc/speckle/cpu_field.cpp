// Vector loops over quads: gamma variables and normals from Philox words.
#include <algorithm>

#include "speckle/cpu_field.h"

#include "common/parallel.h"

namespace sarcore {

// ------ gamma variables of unit scale, times sampler.scale

namespace {

SARCORE_MULTIVERSION void uniforms(const uint32_t* words, int n, float* out) {
    for (int i = 0; i < n; ++i) out[i] = uniform_of(words[i]);
}

SARCORE_MULTIVERSION void times_uniforms(const uint32_t* words, int n, float* out) {
    for (int i = 0; i < n; ++i) out[i] *= uniform_of(words[i]);
}

// out = -scale (log a + log b)
SARCORE_MULTIVERSION void minus_logs(const float* a, const float* b, int n, float scale, float* out) {
    if (b)
        for (int i = 0; i < n; ++i) out[i] = -scale * (exact_log_normal(a[i]) + exact_log_normal(b[i]));
    else
        for (int i = 0; i < n; ++i) out[i] = -scale * exact_log_normal(a[i]);
}

// One look, the most frequent case, without the array of uniforms in between.
SARCORE_MULTIVERSION void exponentials(const uint32_t* words, int n, float scale, float* out) {
    for (int i = 0; i < n; ++i) out[i] = -scale * exact_log_normal(uniform_of(words[i]));
}

SARCORE_MULTIVERSION void attempts(const float* normals, const uint32_t* words, int n, const Sampler& sampler,
                                   float* out) {
    const Sampler s = sampler;
    if (s.series)
        for (int i = 0; i < n; ++i) out[i] = tsang_value<true>(s, normals[i], words[i]);
    else
        for (int i = 0; i < n; ++i) out[i] = tsang_value<false>(s, normals[i], words[i]);
}

SARCORE_MULTIVERSION void boost_and_scale(const uint32_t* words, int n, const Sampler& sampler, float* out) {
    const Sampler s = sampler;
    if (s.boosted)
        for (int i = 0; i < n; ++i) out[i] = out[i] * boost_of(s, words[i]) * s.scale;
    else
        for (int i = 0; i < n; ++i) out[i] = out[i] * s.scale;
}

// Pixels that an attempt rejected, gathered into a block that is filled up to whole vectors.
struct Rejected {
    Block at;
    int lane[kQuads], quad[kQuads], count = 0;
};

constexpr int kPadding = 32;

void add(Rejected& r, uint32_t group, uint32_t row, int lane, int quad) {
    r.at.group[r.count] = group;
    r.at.row[r.count] = row;
    r.lane[r.count] = lane;
    r.quad[r.count++] = quad;
}

void pad(Rejected& r) {
    r.at.count = (r.count + kPadding - 1) / kPadding * kPadding;
    for (int i = r.count; i < r.at.count; ++i) r.at.group[i] = r.at.row[i] = 0;
}

SARCORE_MULTIVERSION void pick_normals(const QuadWords& picked, int n, float* out) {
    for (int i = 0; i < n; ++i) {
        float first, second;
        normals_of(picked.w[0][i], picked.w[1][i], first, second);
        out[i] = picked.w[3][i] != 0 ? second : first;
    }
}

void attempt_values(const Rejected& r, const Stream& stream, const Sampler& s, uint32_t attempt, float* values) {
    QuadWords a, b, picked;
    block_words(r.at, stream, 2u * attempt, a);
    block_words(r.at, stream, 2u * attempt + 1u, b);
    for (int i = 0; i < r.at.count; ++i) {
        const int lane = i < r.count ? r.lane[i] : 0;
        picked.w[0][i] = a.w[lane & 2][i];
        picked.w[1][i] = a.w[(lane & 2) + 1][i];
        picked.w[2][i] = b.w[lane][i];
        picked.w[3][i] = static_cast<uint32_t>(lane & 1);
    }
    float normals[kQuads];
    pick_normals(picked, r.at.count, normals);
    attempts(normals, picked.w[2], r.at.count, s, values);
}

void redraw(Rejected& r, const Stream& stream, const Sampler& s, QuadValues& out) {
    float values[kQuads];
    for (uint32_t attempt = 1; r.count > 0; ++attempt) {
        pad(r);
        attempt_values(r, stream, s, attempt, values);
        const int count = r.count;
        r.count = 0;
        for (int i = 0; i < count; ++i) {
            if (values[i] >= 0.0f || attempt == kMaxAttempts)
                out.v[r.lane[i]][r.quad[i]] = values[i] >= 0.0f ? values[i] : s.d;
            else
                add(r, r.at.group[i], r.at.row[i], r.lane[i], r.quad[i]);
        }
    }
}

void redraw_rejected(const Block& block, const Stream& stream, const Sampler& s, QuadValues& out) {
    Rejected r;
    for (int lane = 0; lane < 4; ++lane)
        for (int i = 0; i < block.count; ++i) {
            if (out.v[lane][i] >= 0.0f) continue;
            add(r, block.group[i], block.row[i], lane, i);
            if (r.count == kQuads) redraw(r, stream, s, out);
        }
    redraw(r, stream, s, out);
}

void gamma_product(const Block& block, const Stream& stream, const Sampler& s, QuadValues& out) {
    QuadWords words;
    const int n = block.count;
    if (s.factors == 1) {
        block_words(block, stream, 0, words);
        for (int j = 0; j < 4; ++j) exponentials(words.w[j], n, s.scale, out.v[j]);
        return;
    }
    QuadValues low, high;
    for (int f = 0; f < s.factors; ++f) {
        block_words(block, stream, static_cast<uint32_t>(f), words);
        QuadValues& product = f < 4 ? low : high;
        for (int j = 0; j < 4; ++j) (f % 4 == 0 ? uniforms : times_uniforms)(words.w[j], n, product.v[j]);
    }
    for (int j = 0; j < 4; ++j) minus_logs(low.v[j], s.factors > 4 ? high.v[j] : nullptr, n, s.scale, out.v[j]);
}

}  // namespace

SARCORE_MULTIVERSION void block_normals(const Block& block, const Stream& stream, uint32_t number, QuadValues& out) {
    QuadWords words;
    block_words(block, stream, number, words);
    for (int i = 0; i < block.count; ++i) {
        normals_of(words.w[0][i], words.w[1][i], out.v[0][i], out.v[1][i]);
        normals_of(words.w[2][i], words.w[3][i], out.v[2][i], out.v[3][i]);
    }
}

void block_gamma(const Block& block, const Stream& stream, const Sampler& s, QuadValues& out) {
    if (s.factors > 0) return gamma_product(block, stream, s, out);
    if (s.factors < 0) {
        for (auto& row : out.v) std::fill(row, row + block.count, __builtin_nanf(""));
        return;
    }
    QuadWords words;
    QuadValues normals;
    block_normals(block, stream, 0, normals);
    block_words(block, stream, 1, words);
    for (int j = 0; j < 4; ++j) attempts(normals.v[j], words.w[j], block.count, s, out.v[j]);
    redraw_rejected(block, stream, s, out);
    if (s.boosted) block_words(block, stream, kBoostDraw, words);
    for (int j = 0; j < 4; ++j) boost_and_scale(words.w[j], block.count, s, out.v[j]);
}

// ------ from quads to pixels

SARCORE_MULTIVERSION void interleave(const QuadValues& values, int count, float* out) {
    for (int i = 0; i < count; ++i)
        for (int j = 0; j < 4; ++j) out[4 * i + j] = values.v[j][i];
}

SARCORE_MULTIVERSION void multiply(const QuadValues& factor, int count, QuadValues& values) {
    for (int j = 0; j < 4; ++j)
        for (int i = 0; i < count; ++i) values.v[j][i] *= factor.v[j][i];
}

SARCORE_MULTIVERSION void gains(SpeckleDomain domain, int n, float* values) {
    switch (domain) {
        case SpeckleDomain::amplitude:
            for (int i = 0; i < n; ++i) values[i] = gain_of(values[i], SpeckleDomain::amplitude);
            return;
        case SpeckleDomain::db:
            for (int i = 0; i < n; ++i) values[i] = gain_of(values[i], SpeckleDomain::db);
            return;
        case SpeckleDomain::log:
            for (int i = 0; i < n; ++i) values[i] = gain_of(values[i], SpeckleDomain::log);
            return;
        default:
            for (int i = 0; i < n; ++i) values[i] = gain_of(values[i], SpeckleDomain::intensity);
    }
}

SARCORE_MULTIVERSION void directions(const QuadValues& intensity, const QuadWords& angle, int count, float* out) {
    for (int i = 0; i < count; ++i)
        for (int j = 0; j < 4; ++j) {
            float cosine, sine;
            exact_direction(angle.w[j][i], cosine, sine);
            const float amplitude = gain_of(intensity.v[j][i], SpeckleDomain::amplitude);
            out[8 * i + 2 * j] = amplitude * cosine;
            out[8 * i + 2 * j + 1] = amplitude * sine;
        }
}

}  // namespace sarcore
