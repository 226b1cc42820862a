// The arithmetic of the histogram loss, once for both back ends. Per image and channel, over the V pixels that count:
//
//   d_k = (h_k(x) - h_k(y)) / V                                  (normalize = count: without / V)
//   L_hist = 1/B sum d_k^2   |   1/B sum |d_k|   |   1/B sum |d_0 + .. + d_k|        (l2, l1, emd)
//   L_spatial = 1/V sum (x - y)^2   |   1/V sum |x - y|
//   L = mean over channels of L_hist + omega L_spatial
//
// The difference of two fixed-point histograms is a vector of integers, so d is exact; sums of reals run in one fixed
// order on every device. The forward pass leaves a table per image and channel from which the backward pass only looks
// up: B slopes (see histogram/formula.h) and the factor of (x - y) or sign(x - y). All distances depend on x - y alone,
// so the gradient for y is minus the same table at y.
#pragma once

#include "histogram/formula.h"

namespace sarcore {

enum class Distance { l2, l1, emd };
enum class Spatial { l2, l1 };

struct LossSettings {
    Axis axis;
    double omega;
    Distance distance;
    Spatial spatial;
    bool probability;
    Kernel kernel;
    int64_t channels;
    SARCORE_HD int table_size() const { return axis.bins + 1; }
};

SARCORE_HD double sign_of(double v) { return v > 0 ? 1.0 : (v < 0 ? -1.0 : 0.0); }

template <typename F>
SARCORE_HD double residual(F x, F y, Spatial spatial) {
    const double d = static_cast<double>(x - y);
    return spatial == Spatial::l2 ? d * d : (d < 0 ? -d : d);
}

template <typename F>
SARCORE_HD F residual_slope(F x, F y, F factor, Spatial spatial) {
    const F d = x - y;
    if (factor == F(0)) return F(0);  // omega = 0, whatever the pixels are
    return spatial == Spatial::l2 ? factor * d : factor * (d > 0 ? F(1) : (d < 0 ? F(-1) : F(0)));
}

// Pairwise sum of kLanes partial sums: the order that a CUDA block reduces in.
SARCORE_HD double tree_sum(double* lanes) {
    for (int step = kLanes / 2; step > 0; step /= 2)
        for (int l = 0; l < step; ++l) lanes[l] += lanes[l + step];
    return lanes[0];
}

// d_k (or its running sum, for emd) as a real number. `difference` holds the integers, already accumulated for emd.
template <typename F>
SARCORE_HD double mass_difference(total_t<F> difference, double mass_scale) {
    return static_cast<double>(difference) * mass_scale;
}

template <typename F>
SARCORE_HD double mass_scale(const LossSettings& s, double pixels) {
    const double one = static_cast<double>(int64_t{1} << Fixed<F>::bits);
    return s.probability ? 1.0 / (one * pixels) : 1.0 / one;
}

SARCORE_HD double distance_term(double d, Distance distance) {
    return distance == Distance::l2 ? d * d : (d < 0 ? -d : d);
}

// dL/dh_k - dL/dh_{k-1} for entry 1 <= j <= bins - 1 of the table, times what turns it into dL/dx.
template <typename F>
SARCORE_HD F loss_slope(const total_t<F>* difference, int j, const LossSettings& s, double pixels) {
    if (j == 0 || s.kernel == Kernel::hard) return F(0);
    const double scale = mass_scale<F>(s, pixels);
    const double before = mass_difference<F>(difference[j - 1], scale), here = mass_difference<F>(difference[j], scale);
    double step;
    if (s.distance == Distance::l2) {
        step = 2.0 * (here - before);
    } else if (s.distance == Distance::l1) {
        step = sign_of(here) - sign_of(before);
    } else {
        step = -sign_of(before);  // sums over k >= j differ by the term k = j - 1
    }
    const double per_pixel = s.probability ? 1.0 / pixels : 1.0;
    return static_cast<F>(step * per_pixel * axis_scale<double>(s.axis) /
                          (static_cast<double>(s.axis.bins) * static_cast<double>(s.channels)));
}

// The loss of one image and channel from the sum over bins of distance_term and the sum over pixels of the residual.
SARCORE_HD double row_loss(double distance_sum, double residual_sum, double pixels, const LossSettings& s) {
    const double histogram = distance_sum / s.axis.bins;
    return s.omega == 0 ? histogram : histogram + s.omega * (residual_sum / pixels);  // no 0 * inf
}

template <typename F>
SARCORE_HD F spatial_factor(const LossSettings& s, double pixels) {
    return static_cast<F>((s.spatial == Spatial::l2 ? 2.0 : 1.0) * s.omega /
                          (pixels * static_cast<double>(s.channels)));
}

}  // namespace sarcore
