// CPU building blocks of speckle: blocks of quads (four neighbouring pixels that share draws) become random fields in
// vector loops. A quad's four values stand in four arrays, so that a lane of a vector is a quad.
#pragma once

#include "speckle/formula.h"

namespace sarcore {

inline constexpr int kQuads = 128;  // 12 arrays of them stay in the first-level cache

struct Block {
    uint32_t group[kQuads], row[kQuads];
    int count = 0;
};

struct QuadWords {
    uint32_t w[4][kQuads];
};
struct QuadValues {
    float v[4][kQuads];
};

void block_words(const Block& block, const Stream& stream, uint32_t number, QuadWords& out);
void block_gamma(const Block& block, const Stream& stream, const Sampler& sampler, QuadValues& out);
void block_normals(const Block& block, const Stream& stream, uint32_t number, QuadValues& out);

// Two values per quad and array: out[4 i + j] = v[j][i].
void interleave(const QuadValues& values, int count, float* out);
void multiply(const QuadValues& factor, int count, QuadValues& values);
// Intensities to the factors or terms of the domain, in place.
void gains(SpeckleDomain domain, int n, float* values);
// Complex factors sqrt(intensity) (cos, sin), as 2 n floats.
void directions(const QuadValues& intensity, const QuadWords& angle, int count, float* out);

}  // namespace sarcore
