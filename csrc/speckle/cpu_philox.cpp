// Philox words for a block of quads. Written with intrinsics, because compilers multiply 64 x 64 bits where 32 x 32
// will do: a 64-bit lane holds one quad's word in its low half, junk above it is never read, and a round is two
// multiplications, two shifts and two exclusive ors. About 1.2 cycles per word with AVX-512.
#include "common/parallel.h"
#include "speckle/cpu_field.h"

#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__clang__)
#define SARCORE_PHILOX_INTRINSICS
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // GCC's own AVX-512 headers (bug 105593)
#include <immintrin.h>
#endif

namespace sarcore {

namespace {

void scalar_words(const Block& block, const Stream& stream, uint32_t tail, int first, QuadWords& out) {
    for (int i = first; i < block.count; ++i) {
        const Words words = philox(block.group[i], block.row[i], stream.image, tail, stream.key0, stream.key1);
        for (int j = 0; j < 4; ++j) out.w[j][i] = words.w[j];
    }
}

#ifdef SARCORE_PHILOX_INTRINSICS

#define SARCORE_V4 __attribute__((target("arch=x86-64-v4")))
#define SARCORE_V3 __attribute__((target("arch=x86-64-v3")))

// Four chains of eight quads each, so that multiplications do not wait for each other.
SARCORE_V4 int words_v4(const Block& block, const Stream& stream, uint32_t tail, QuadWords& out) {
    constexpr int chains = 4;
    const __m512i m0 = _mm512_set1_epi64(0xd2511f53), m1 = _mm512_set1_epi64(0xcd9e8d57);
    int i = 0;
    for (; i + 8 * chains <= block.count; i += 8 * chains) {
        __m512i c0[chains], c1[chains], c2[chains], c3[chains];
        for (int k = 0; k < chains; ++k) {
            c0[k] =
                _mm512_cvtepu32_epi64(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(block.group + i + 8 * k)));
            c1[k] = _mm512_cvtepu32_epi64(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(block.row + i + 8 * k)));
            c2[k] = _mm512_set1_epi64(stream.image);
            c3[k] = _mm512_set1_epi64(tail);
        }
        uint32_t key0 = stream.key0, key1 = stream.key1;
        for (int round = 0; round < 10; ++round, key0 += 0x9e3779b9u, key1 += 0xbb67ae85u) {
            const __m512i k0 = _mm512_set1_epi64(key0), k1 = _mm512_set1_epi64(key1);
            for (int k = 0; k < chains; ++k) {
                const __m512i p = _mm512_mul_epu32(c0[k], m0), q = _mm512_mul_epu32(c2[k], m1);
                c0[k] = _mm512_ternarylogic_epi64(_mm512_srli_epi64(q, 32), c1[k], k0, 0x96);
                c2[k] = _mm512_ternarylogic_epi64(_mm512_srli_epi64(p, 32), c3[k], k1, 0x96);
                c1[k] = q;
                c3[k] = p;
            }
        }
        for (int k = 0; k < chains; ++k) {
            const __m512i words[4] = {c0[k], c1[k], c2[k], c3[k]};
            for (int j = 0; j < 4; ++j)
                _mm256_storeu_si256(reinterpret_cast<__m256i*>(out.w[j] + i + 8 * k), _mm512_cvtepi64_epi32(words[j]));
        }
    }
    return i;
}

// The low halves of two vectors of 64-bit lanes, in order.
SARCORE_V3 __m256i low_halves(__m256i a, __m256i b) {
    const __m256 mixed = _mm256_shuffle_ps(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b), 0x88);
    return _mm256_permute4x64_epi64(_mm256_castps_si256(mixed), 0xd8);
}

SARCORE_V3 int words_v3(const Block& block, const Stream& stream, uint32_t tail, QuadWords& out) {
    constexpr int chains = 2;
    const __m256i m0 = _mm256_set1_epi64x(0xd2511f53), m1 = _mm256_set1_epi64x(0xcd9e8d57);
    int i = 0;
    for (; i + 4 * chains <= block.count; i += 4 * chains) {
        __m256i c0[chains], c1[chains], c2[chains], c3[chains];
        for (int k = 0; k < chains; ++k) {
            c0[k] = _mm256_cvtepu32_epi64(_mm_loadu_si128(reinterpret_cast<const __m128i*>(block.group + i + 4 * k)));
            c1[k] = _mm256_cvtepu32_epi64(_mm_loadu_si128(reinterpret_cast<const __m128i*>(block.row + i + 4 * k)));
            c2[k] = _mm256_set1_epi64x(stream.image);
            c3[k] = _mm256_set1_epi64x(tail);
        }
        uint32_t key0 = stream.key0, key1 = stream.key1;
        for (int round = 0; round < 10; ++round, key0 += 0x9e3779b9u, key1 += 0xbb67ae85u) {
            const __m256i k0 = _mm256_set1_epi64x(key0), k1 = _mm256_set1_epi64x(key1);
            for (int k = 0; k < chains; ++k) {
                const __m256i p = _mm256_mul_epu32(c0[k], m0), q = _mm256_mul_epu32(c2[k], m1);
                c0[k] = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(q, 32), c1[k]), k0);
                c2[k] = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(p, 32), c3[k]), k1);
                c1[k] = q;
                c3[k] = p;
            }
        }
        const __m256i words[4] = {low_halves(c0[0], c0[1]), low_halves(c1[0], c1[1]), low_halves(c2[0], c2[1]),
                                  low_halves(c3[0], c3[1])};
        for (int j = 0; j < 4; ++j) _mm256_storeu_si256(reinterpret_cast<__m256i*>(out.w[j] + i), words[j]);
    }
    return i;
}

using VectorWords = int (*)(const Block&, const Stream&, uint32_t, QuadWords&);

VectorWords best_words() {
    if (__builtin_cpu_supports("x86-64-v4")) return words_v4;
    if (__builtin_cpu_supports("x86-64-v3")) return words_v3;
    return nullptr;
}

#endif

}  // namespace

void block_words(const Block& block, const Stream& stream, uint32_t number, QuadWords& out) {
    const uint32_t tail = stream.tail + number;
    int done = 0;
#ifdef SARCORE_PHILOX_INTRINSICS
    static const VectorWords vector_words = best_words();
    if (vector_words) done = vector_words(block, stream, tail, out);
#endif
    scalar_words(block, stream, tail, done, out);
}

}  // namespace sarcore
