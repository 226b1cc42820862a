// Stores past the cache, for results that it could not hold until they are read: a line that is overwritten as a whole
// need not be fetched first.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace sarcore {

inline constexpr int64_t kStreamBytes = int64_t{16} << 20;  // results from here on

// `finish_streaming` makes the bytes visible to other threads.
inline void stream_bytes(void* to, const void* from, int64_t n) {
    auto* const out = static_cast<unsigned char*>(to);
    const auto* const in = static_cast<const unsigned char*>(from);
#ifdef __SSE2__
    const auto offset = static_cast<int64_t>(reinterpret_cast<uintptr_t>(out) % 64);
    const int64_t head = std::min(n, (64 - offset) % 64), end = head + (n - head) / 64 * 64;
    memcpy(out, in, static_cast<size_t>(head));
    for (int64_t i = head; i < end; i += 16)
        _mm_stream_si128(reinterpret_cast<__m128i*>(out + i),
                         _mm_loadu_si128(reinterpret_cast<const __m128i*>(in + i)));
    memcpy(out + end, in + end, static_cast<size_t>(n - end));
#else
    memcpy(out, in, static_cast<size_t>(n));
#endif
}

inline void finish_streaming() {
#ifdef __SSE2__
    _mm_sfence();
#endif
}

}  // namespace sarcore
