// The window of Frost's filter as rings of pixels that are equally far from the centre: one weight each.
//
//   y = sum_d exp(-damping Ci^2 d) ring_d / sum_d exp(-damping Ci^2 d) count_d
//
// Order of the additions, on both back ends: row pairs q(dy) = x[-dy] + x[+dy] (q(0) is the centre row); a ring is
// the sum over its dy, ascending, of q(dy)[-dx] + q(dy)[+dx] (of q(dy) alone for dx = 0); rings by ascending distance.
#pragma once

#include "despeckle/formula.h"

namespace sarcore {

inline constexpr int kMostTerms = 4;  // ways to write d^2 = dy^2 + dx^2 with dy, dx <= 15
inline constexpr int kMostRings = 136;

struct Ring {
    float squared;  // d^2
    int8_t terms, pixels;
    int8_t dy[kMostTerms], dx[kMostTerms];
};

struct Rings {
    int count = 0;
    Ring ring[kMostRings];

    explicit Rings(int radius) {
        for (int squared = 0; squared <= 2 * radius * radius; ++squared) {
            Ring next{static_cast<float>(squared), 0, 0, {}, {}};
            for (int dy = 0; dy <= radius; ++dy)
                for (int dx = 0; dx <= radius; ++dx)
                    if (dy * dy + dx * dx == squared) {
                        next.dy[next.terms] = static_cast<int8_t>(dy);
                        next.dx[next.terms++] = static_cast<int8_t>(dx);
                        next.pixels = static_cast<int8_t>(next.pixels + (dy ? 2 : 1) * (dx ? 2 : 1));
                    }
            if (next.terms) ring[count++] = next;
        }
    }
};

// The weight of a ring for decay = damping Ci^2, in the precision of the image.
template <typename F>
SARCORE_HD double ring_weight(double decay, double distance) {
    return static_cast<double>(exact_exp(static_cast<F>(-(decay * distance))));
}

}  // namespace sarcore
