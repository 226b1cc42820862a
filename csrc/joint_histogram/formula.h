// The arithmetic of the joint histogram, once for both back ends: each pixel spreads its unit mass over the 2 x 2
// nearest bin centres,
//
//   h[i, j] += (1 - fx)(1 - fy)    h[i, j+1] += (1 - fx) fy    h[i+1, j] += fx (1 - fy)    h[i+1, j+1] += fx fy
//   dL/dx = ((1 - fy) (g[i+1, j] - g[i, j]) + fy (g[i+1, j+1] - g[i, j+1])) / w_x      and 0 where x was clamped;
//   likewise y
//
// The four weights are integers that add up to one in fixed point, so the total mass is exact.
#pragma once

#include "histogram/formula.h"

namespace sarcore {

inline constexpr int kMaxJointBins = 256;

// floor(a b / one) for two fractions in fixed point.
SARCORE_HD uint32_t fraction_product(uint32_t a, uint32_t b) {
    return static_cast<uint32_t>((static_cast<uint64_t>(a) * b) >> 16);
}
SARCORE_HD uint64_t fraction_product(uint64_t a, uint64_t b) {
    return static_cast<uint64_t>((static_cast<int128_t>(a) * static_cast<int128_t>(b)) >> 40);
}

template <typename F>
struct JointTap {
    int i, j;                          // lower bin of x and of y
    position_t<F> w00, w01, w10, w11;  // first index: x
};

template <typename F>
SARCORE_HD JointTap<F> joint_tap(position_t<F> at_x, position_t<F> at_y) {
    constexpr int bits = Fixed<F>::bits;
    constexpr position_t<F> one = position_t<F>(1) << bits;
    const position_t<F> fx = at_x & (one - 1), fy = at_y & (one - 1);
    JointTap<F> tap;
    tap.i = static_cast<int>(at_x >> bits);
    tap.j = static_cast<int>(at_y >> bits);
    tap.w11 = fraction_product(fx, fy);
    tap.w10 = fx - tap.w11;
    tap.w01 = fy - tap.w11;
    tap.w00 = one - fx - fy + tap.w11;  // never negative: (1 - fx)(1 - fy) >= 0 and w11 is rounded down
    return tap;
}

struct AxisPosition {
    int k;        // lower bin, at most bins - 2
    bool inside;  // not clamped: the gradient flows
};

// Bin and fraction as real numbers, for the backward pass.
template <typename F>
SARCORE_HD AxisPosition real_position(F x, F lo, F scale, int bins, F* fraction) {
    F t = centre_position(x, lo, scale);
    const F top = static_cast<F>(bins - 1);
    const bool inside = t >= F(0) && t < top;
    t = t > F(0) ? t : F(0);
    t = t < top ? t : top;
    int k = static_cast<int>(t);
    k = k > bins - 2 ? bins - 2 : k;
    *fraction = t - static_cast<F>(k);
    return {k, inside};
}

// The slope along an axis: the differences of the cells on the near and on the far side of the other axis,
// interpolated.
template <typename F>
SARCORE_HD F axis_slope(F near, F far, F fraction, F scale) {
    return ((F(1) - fraction) * near + fraction * far) * scale;
}

template <typename F>
struct JointSlope {
    F x, y;
};

template <typename F>
SARCORE_HD JointSlope<F> joint_slope(F vx, F vy, const F* gradient, const Axis& ax, const Axis& ay) {
    const F scale_x = axis_scale<F>(ax), scale_y = axis_scale<F>(ay);
    F fx, fy;
    const AxisPosition px = real_position(vx, static_cast<F>(ax.lo), scale_x, ax.bins, &fx);
    const AxisPosition py = real_position(vy, static_cast<F>(ay.lo), scale_y, ay.bins, &fy);
    const F* row = gradient + px.k * ay.bins + py.k;
    const F g00 = row[0], g01 = row[1], g10 = row[ay.bins], g11 = row[ay.bins + 1];
    return {px.inside ? axis_slope(g10 - g00, g11 - g01, fy, scale_x) : F(0),
            py.inside ? axis_slope(g01 - g00, g11 - g10, fx, scale_y) : F(0)};
}

}  // namespace sarcore
