// Philox4x32-10, the counter-based generator of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011:
// 128 bits of counter and 64 bits of key give four words, with no state in between.
#pragma once

#include "common/dtype.h"

namespace sarcore {

struct Words {
    uint32_t w[4];
};

SARCORE_HD Words philox(uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3, uint32_t key0, uint32_t key1) {
    for (int round = 0; round < 10; ++round) {
        const uint64_t p = static_cast<uint64_t>(c0) * 0xd2511f53u, q = static_cast<uint64_t>(c2) * 0xcd9e8d57u;
        const uint32_t n0 = static_cast<uint32_t>(q >> 32) ^ c1 ^ key0;
        const uint32_t n2 = static_cast<uint32_t>(p >> 32) ^ c3 ^ key1;
        c0 = n0;
        c1 = static_cast<uint32_t>(q);
        c2 = n2;
        c3 = static_cast<uint32_t>(p);
        key0 += 0x9e3779b9u;
        key1 += 0xbb67ae85u;
    }
    return {{c0, c1, c2, c3}};
}

}  // namespace sarcore
