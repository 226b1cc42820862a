// Lee's refined filter: which half of the 7 x 7 window lies on the centre's side of the strongest edge, if there is
// one.
//
// Nine 3 x 3 means, with centres at -2, 0 and 2, form a grid; four gradients over it (edge along x, along y, along the
// falling and along the rising diagonal; the first of the largest wins) give the edge, and of the two means beside
// it the one nearer to the central mean (the first of equals) gives the half: 28 pixels with the line of the edge.
// A gradient is the difference of two sums of three means. Of independent speckle it has the standard deviation
// sqrt(2 * 39) / 9 Cu mean (the 3 x 3 windows overlap: 13 weights squared in each of three rows). Detected images have
// pixels of about half their resolution (Sentinel-1 GRD: 10 m of 20 m): 2 x 2 pixels are one sample, and the deviation
// is twice that. Where the strongest gradient is below 2.5 of those the area is flat and the whole window counts.
// Windows at a border are their own mirror image, so equal gradients are common there: three numbers in a line are
// added as (first + last) + middle, which gives a mirror image the same bits and leaves the choice to the fixed order.
#pragma once

#include "despeckle/formula.h"

namespace sarcore {

inline constexpr int kHalves = 8, kParts = kHalves + 1, kHalfPixels = 28, kWindowPixels = 49;
inline constexpr double kEdgeContrast = 2.5 * 2.0 * 0.98130676292531638 / 9.0;  // of Cu times the sum of the nine means

// Row q of half h, or of the whole window, h = 8: its pixels are `length` columns from `start` on, both counted from
// the window's corner.
struct Run {
    int start, length;
};
SARCORE_HD Run run_of(int half, int q) {
    switch (half) {
        case 0:
            return {0, q <= 3 ? 7 : 0};  // above
        case 1:
            return {0, q >= 3 ? 7 : 0};  // below
        case 2:
            return {0, 4};  // left
        case 3:
            return {3, 4};  // right
        case 4:
            return {q, 7 - q};  // right and above
        case 5:
            return {0, q + 1};  // left and below
        case 6:
            return {0, 7 - q};  // left and above
        case 7:
            return {6 - q, q + 1};  // right and below
        default:
            return {0, 7};
    }
}

// A mean of the grid; one without valid pixels takes the central mean.
template <bool counted>
SARCORE_HD double mean_of_nine(double sum, double count, double otherwise) {
    if constexpr (!counted) return sum * (1.0 / 9.0);
    return count > 0.0 ? sum * (1.0 / (count > 0.0 ? count : 1.0)) : otherwise;
}

SARCORE_HD double magnitude(double v) { return v < 0.0 ? -v : v; }

// m: the grid of means, row by row; cu: the speckle's coefficient of variation.
SARCORE_HD int half_of(const double (&m)[9], double cu) {
    const double g0 = magnitude((m[0] + m[2] + m[1]) - (m[6] + m[8] + m[7]));
    const double g1 = magnitude((m[0] + m[6] + m[3]) - (m[2] + m[8] + m[5]));
    const double g2 = magnitude((m[1] + m[5] + m[2]) - (m[3] + m[7] + m[6]));
    const double g3 = magnitude((m[1] + m[3] + m[0]) - (m[5] + m[7] + m[8]));
    const double a0 = magnitude(m[1] - m[4]), b0 = magnitude(m[7] - m[4]);
    const double a1 = magnitude(m[3] - m[4]), b1 = magnitude(m[5] - m[4]);
    const double a2 = magnitude(m[2] - m[4]), b2 = magnitude(m[6] - m[4]);
    const double a3 = magnitude(m[0] - m[4]), b3 = magnitude(m[8] - m[4]);
    double best = g0;
    int half = a0 <= b0 ? 0 : 1;
    const int half1 = a1 <= b1 ? 2 : 3, half2 = a2 <= b2 ? 4 : 5, half3 = a3 <= b3 ? 6 : 7;
    half = g1 > best ? half1 : half;
    best = g1 > best ? g1 : best;
    half = g2 > best ? half2 : half;
    best = g2 > best ? g2 : best;
    half = g3 > best ? half3 : half;
    best = g3 > best ? g3 : best;
    const double sum = ((m[0] + m[2] + m[1]) + (m[6] + m[8] + m[7])) + (m[3] + m[5] + m[4]);
    return best > kEdgeContrast * cu * sum ? half : kHalves;
}

}  // namespace sarcore
