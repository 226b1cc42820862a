// Histogram loss on the CPU: both histograms and the residual in one pass over the pixels, both gradients in another.
// Floor: 2 sizeof(T) bytes read per pixel forward; 2 read and 2 written backward.
#include "histogram_loss/kernels.h"

#include <limits>
#include <vector>

#include "histogram/cpu_loops.h"

namespace sarcore {

// ------ vector loops

namespace {

template <bool Masked, typename F>
SARCORE_HD bool counts(F x, F y, const uint8_t* mask, int i) {
    if constexpr (Masked) return (x == x) & (y == y) & (mask[i] != 0);
    return (x == x) & (y == y);
}

// Adds the residuals of up to kLanes pixels to the lanes.
template <bool Masked, Spatial kind, typename T>
SARCORE_HD void residual_loop(const T* __restrict__ x, const T* __restrict__ y, const uint8_t* __restrict__ mask, int n,
                              double* __restrict__ lanes) {
    for (int l = 0; l < n; ++l) {
        const auto vx = widen(x[l]), vy = widen(y[l]);
        const double r = residual(vx, vy, kind);
        lanes[l] += counts<Masked>(vx, vy, mask, l) ? r : 0.0;
    }
}

// slopes: looked up at x (sign 1) or at y (sign -1).
template <bool Masked, Spatial kind, typename T>
SARCORE_HD void gradient_loop(const T* __restrict__ x, const T* __restrict__ y, const uint8_t* __restrict__ mask, int n,
                              const compute_t<T>* __restrict__ slopes, compute_t<T> factor, compute_t<T> sign,
                              T* __restrict__ out) {
    using F = compute_t<T>;
    for (int i = 0; i < n; ++i) {
        const F vx = widen(x[i]), vy = widen(y[i]);
        const F slope = sign * (slopes[i] + residual_slope(vx, vy, factor, kind));
        out[i] = narrow<T>(counts<Masked>(vx, vy, mask, i) ? slope : F(0));
    }
}

}  // namespace

#define SARCORE_DEFINE_RESIDUALS(T)                                                                              \
    SARCORE_MULTIVERSION static void residuals(const T* x, const T* y, const uint8_t* mask, int n, Spatial kind, \
                                               double* lanes) {                                                  \
        if (kind == Spatial::l2)                                                                                 \
            return mask ? residual_loop<true, Spatial::l2>(x, y, mask, n, lanes)                                 \
                        : residual_loop<false, Spatial::l2>(x, y, mask, n, lanes);                               \
        return mask ? residual_loop<true, Spatial::l1>(x, y, mask, n, lanes)                                     \
                    : residual_loop<false, Spatial::l1>(x, y, mask, n, lanes);                                   \
    }
SARCORE_DEFINE_RESIDUALS(uint8_t)
SARCORE_DEFINE_RESIDUALS(uint16_t)
SARCORE_DEFINE_RESIDUALS(Half)
SARCORE_DEFINE_RESIDUALS(BFloat16)
SARCORE_DEFINE_RESIDUALS(float)
SARCORE_DEFINE_RESIDUALS(double)
#undef SARCORE_DEFINE_RESIDUALS

#define SARCORE_DEFINE_GRADIENTS(T)                                                                                \
    SARCORE_MULTIVERSION static void gradients(const T* x, const T* y, const uint8_t* mask, int n, Spatial kind,   \
                                               const compute_t<T>* slopes, compute_t<T> factor, compute_t<T> sign, \
                                               T* out) {                                                           \
        if (kind == Spatial::l2)                                                                                   \
            return mask ? gradient_loop<true, Spatial::l2>(x, y, mask, n, slopes, factor, sign, out)               \
                        : gradient_loop<false, Spatial::l2>(x, y, mask, n, slopes, factor, sign, out);             \
        return mask ? gradient_loop<true, Spatial::l1>(x, y, mask, n, slopes, factor, sign, out)                   \
                    : gradient_loop<false, Spatial::l1>(x, y, mask, n, slopes, factor, sign, out);                 \
    }
SARCORE_DEFINE_GRADIENTS(Half)
SARCORE_DEFINE_GRADIENTS(BFloat16)
SARCORE_DEFINE_GRADIENTS(float)
SARCORE_DEFINE_GRADIENTS(double)
#undef SARCORE_DEFINE_GRADIENTS

// ------ drivers

namespace {

// One image and channel: loss value and gradient table from the difference of the histograms and the sum of the
// residuals.
template <typename F>
double finish_row(total_t<F>* difference, double residual_sum, double pixels, const LossSettings& s, F* table) {
    const int bins = s.axis.bins;
    if (pixels == 0) {
        std::fill(table, table + s.table_size(), F(0));
        return std::numeric_limits<double>::quiet_NaN();  // the mean over no pixel
    }
    if (s.distance == Distance::emd)
        for (int k = 1; k < bins; ++k) difference[k] += difference[k - 1];
    double lanes[kLanes] = {};
    for (int k = 0; k < bins; ++k)
        lanes[k % kLanes] += distance_term(mass_difference<F>(difference[k], mass_scale<F>(s, pixels)), s.distance);
    for (int j = 0; j < bins; ++j) table[j] = loss_slope<F>(difference, j, s, pixels);
    table[bins] = spatial_factor<F>(s, pixels);
    return row_loss(tree_sum(lanes), residual_sum, pixels, s);
}

// One task of one image: adds to the difference of the histograms, writes the residual sum of each chunk, and returns
// how many pixels count.
template <typename T>
uint64_t count_task(const T* x, const T* y, const uint8_t* mask, int64_t pixels, int64_t first_chunk,
                    int64_t last_chunk, const LossSettings& s, total_t<compute_t<T>>* difference, double* sums) {
    using F = compute_t<T>;
    Tally<F> tally_x(s.axis.bins), tally_y(s.axis.bins);
    position_t<F> at_x[kBlock], at_y[kBlock];
    uint64_t valid = 0;
    for (int64_t chunk = first_chunk; chunk < last_chunk; ++chunk) {
        double lanes[kLanes] = {};
        const int64_t end = std::min(pixels, (chunk + 1) * kChunk);
        for (int64_t p = chunk * kChunk; p < end; p += kBlock) {
            const int n = static_cast<int>(std::min<int64_t>(kBlock, end - p));
            const uint8_t* m = mask ? mask + p : nullptr;
            if (s.kernel == Kernel::hard) {
                hard_positions(x + p, y + p, m, n, s.axis, at_x);
                hard_positions(y + p, x + p, m, n, s.axis, at_y);
                for (int i = 0; i < n; ++i)
                    valid +=
                        static_cast<uint64_t>(counts<false>(widen(x[p + i]), widen(y[p + i]), m, i) && (!m || m[i]));
            } else {
                linear_pair_positions(x + p, y + p, m, n, s.axis, at_x, at_y);
            }
            tally_x.add(at_x, n);
            tally_y.add(at_y, n);
            for (int row = 0; row < n; row += kLanes)
                residuals(x + p + row, y + p + row, m ? m + row : nullptr, std::min(kLanes, n - row), s.spatial, lanes);
        }
        sums[chunk] = tree_sum(lanes);
    }
    tally_x.drain(difference);
    tally_y.drain(difference, -1);
    // The hard histogram leaves out values beyond the range, which count as pixels all the same.
    return s.kernel == Kernel::hard ? valid : tally_x.pixels();
}

}  // namespace

template <typename T>
void histogram_loss_cpu(const T* x, const T* y, const uint8_t* mask, Images images, LossSettings s, int threads,
                        compute_t<T>* loss, compute_t<T>* table) {
    using F = compute_t<T>;
    threads = team_for(images, threads);
    const int64_t tasks = images.tasks(), chunks = images.chunks();
    const int bins = s.axis.bins;
    std::vector<total_t<F>> differences(static_cast<size_t>(images.count * tasks) * bins, 0);
    std::vector<double> sums(static_cast<size_t>(images.count * chunks)), rows(static_cast<size_t>(images.count));
    std::vector<uint64_t> pixels(static_cast<size_t>(images.count * tasks));
    parallel_for(images.count * tasks, threads, [&](int64_t task) {
        const int64_t image = task / tasks, first = task % tasks * kChunksPerTask, at = image * images.pixels;
        pixels[static_cast<size_t>(task)] = count_task(x + at, y + at, mask ? mask + at : nullptr, images.pixels, first,
                                                       std::min(chunks, first + kChunksPerTask), s,
                                                       differences.data() + task * bins, sums.data() + image * chunks);
    });
    parallel_for(images.count, tasks > 1 || images.count > 256 ? threads : 1, [&](int64_t image) {
        total_t<F>* difference = differences.data() + image * tasks * bins;
        merge_tasks<F>(difference, tasks, bins);
        double sum = 0, count = 0;
        for (int64_t c = image * chunks; c < (image + 1) * chunks; ++c) sum += sums[static_cast<size_t>(c)];
        for (int64_t t = image * tasks; t < (image + 1) * tasks; ++t)
            count += static_cast<double>(pixels[static_cast<size_t>(t)]);
        rows[static_cast<size_t>(image)] = finish_row<F>(difference, sum, count, s, table + image * s.table_size());
    });
    for (int64_t n = 0; n < images.count / s.channels; ++n) {
        double sum = 0;
        for (int64_t c = 0; c < s.channels; ++c) sum += rows[static_cast<size_t>(n * s.channels + c)];
        loss[n] = static_cast<F>(sum / static_cast<double>(s.channels));
    }
}

template <typename T>
void histogram_loss_backward_cpu(const compute_t<T>* gradient, const T* x, const T* y, const uint8_t* mask,
                                 const compute_t<T>* table, Images images, LossSettings s, int threads, T* out_x,
                                 T* out_y) {
    using F = compute_t<T>;
    threads = team_for(images, threads);
    const int64_t tasks = images.tasks();
    parallel_for(images.count * tasks, threads, [&](int64_t task) {
        const int64_t image = task / tasks, begin = task % tasks * kChunk * kChunksPerTask;
        const int64_t end = std::min(images.pixels, begin + int64_t{kChunk} * kChunksPerTask);
        const F upstream = gradient[image / s.channels];
        const int bins = s.axis.bins;
        F scaled[kMaxBins], slopes[kBlock];
        for (int j = 0; j < bins; ++j) scaled[j] = table[image * s.table_size() + j] * upstream;
        std::fill(scaled + bins, scaled + std::max(bins, kRegisterEntries), F(0));
        const F factor = table[image * s.table_size() + bins] * upstream;
        for (int64_t p = begin; p < end; p += kBlock) {
            const int64_t at = image * images.pixels + p;
            const int n = static_cast<int>(std::min<int64_t>(kBlock, end - p));
            const uint8_t* m = mask ? mask + at : nullptr;
            if (out_x) {
                lookup_slopes(x + at, n, s.axis, scaled, slopes);
                gradients(x + at, y + at, m, n, s.spatial, slopes, factor, F(1), out_x + at);
            }
            if (out_y) {
                lookup_slopes(y + at, n, s.axis, scaled, slopes);
                gradients(x + at, y + at, m, n, s.spatial, slopes, factor, F(-1), out_y + at);
            }
        }
    });
}

// ------ instances

#define SARCORE_INSTANCE(T)                                                                                           \
    template void histogram_loss_cpu<T>(const T*, const T*, const uint8_t*, Images, LossSettings, int, compute_t<T>*, \
                                        compute_t<T>*);
SARCORE_INSTANCE(uint8_t)
SARCORE_INSTANCE(uint16_t)
SARCORE_INSTANCE(Half)
SARCORE_INSTANCE(BFloat16)
SARCORE_INSTANCE(float)
SARCORE_INSTANCE(double)
#undef SARCORE_INSTANCE
#define SARCORE_INSTANCE(T)                                                                               \
    template void histogram_loss_backward_cpu<T>(const compute_t<T>*, const T*, const T*, const uint8_t*, \
                                                 const compute_t<T>*, Images, LossSettings, int, T*, T*);
SARCORE_INSTANCE(Half)
SARCORE_INSTANCE(BFloat16)
SARCORE_INSTANCE(float)
SARCORE_INSTANCE(double)
#undef SARCORE_INSTANCE

}  // namespace sarcore
