// How every histogram op cuts its images: fixed sizes, so that results do not depend on the thread count, the device or
// the launch shape.
#pragma once

#include "common/dtype.h"

namespace sarcore {

inline constexpr int kChunk =
    8192;  // pixels that one CUDA block takes, and over which one floating-point partial sum runs
inline constexpr int kChunksPerTask =
    8;                              // chunks of one CPU task: 65536 pixels, whose 16-bit fractions still fit 32 bits
inline constexpr int kLanes = 256;  // interleaved partial sums of a chunk: the threads of a CUDA block
inline constexpr int kMaxBins = 4096;

inline constexpr int64_t kSerialPixels = 32768;  // fewer than this are done before a second thread has woken up

struct Images {
    int64_t count;   // N * C
    int64_t pixels;  // H * W
    SARCORE_HD int64_t chunks() const { return (pixels + kChunk - 1) / kChunk; }
    SARCORE_HD int64_t tasks() const { return pixels == 0 ? 1 : (chunks() + kChunksPerTask - 1) / kChunksPerTask; }
};

inline int team_for(const Images& images, int threads) {
    return images.count * images.pixels < kSerialPixels ? 1 : threads;
}

}  // namespace sarcore
