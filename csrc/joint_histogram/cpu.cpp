// Joint histogram on the CPU: positions of both images in a vector loop, then four integer additions per pixel into a
// table that stays in the first- or second-level cache (bins 64: 16 KB). Floor: 2 sizeof(T) bytes read per pixel
// forward; 2 read and 2 written backward.
#include "joint_histogram/kernels.h"

#include <vector>

#include "histogram/cpu_loops.h"

namespace sarcore {

// ------ vector loops

namespace {

inline constexpr int kSlopeBlock = 256;

// One of the two gradients: `across` is the axis it belongs to, whose neighbouring cells are `step` apart, `along` the
// other one. Three short loops, because arithmetic vectorises and scattered loads do not.
template <typename T>
SARCORE_HD void slope_loop(const T* across, const T* along, const uint8_t* mask, int n, const compute_t<T>* gradient,
                           const Axis& axis, const Axis& other, int step, int other_step, T* out) {
    using F = compute_t<T>;
    const F lo = static_cast<F>(axis.lo), scale = axis_scale<F>(axis);
    const F other_lo = static_cast<F>(other.lo), other_scale = axis_scale<F>(other);
    int32_t cell[kSlopeBlock];
    F weight[kSlopeBlock], fraction[kSlopeBlock], near[kSlopeBlock], far[kSlopeBlock];
    for (int i = 0; i < n; ++i) {
        const F v = widen(across[i]), u = widen(along[i]);
        const bool counts = (v == v) & (u == u);
        F unused;
        const AxisPosition p = real_position(counts ? v : lo, lo, scale, axis.bins, &unused);
        const AxisPosition q = real_position(counts ? u : other_lo, other_lo, other_scale, other.bins, fraction + i);
        cell[i] = p.k * step + q.k * other_step;
        weight[i] = counts & p.inside ? scale : F(0);
    }
    for (int i = 0; i < n; ++i) {
        const F* g = gradient + cell[i];
        near[i] = g[step] - g[0];
        far[i] = g[step + other_step] - g[other_step];
    }
    for (int i = 0; i < n; ++i) {
        const F slope = axis_slope(near[i], far[i], fraction[i], weight[i]);
        out[i] = narrow<T>((weight[i] == F(0)) | (mask && mask[i] == 0) ? F(0) : slope);
    }
}

// Two axes: the pair loop of the histogram puts both images on one axis, so each image gets its own call and the other
// one as its NaN partner.
template <typename T>
void positions(const T* x, const T* y, const uint8_t* mask, int n, const Axis& ax, const Axis& ay,
               position_t<compute_t<T>>* at_x, position_t<compute_t<T>>* at_y) {
    if (ax.lo == ay.lo && ax.hi == ay.hi && ax.bins == ay.bins)
        return linear_pair_positions(x, y, mask, n, ax, at_x, at_y);
    linear_positions(x, mask, n, ax, at_x);
    linear_positions(y, mask, n, ay, at_y);
}

// Sums of one task. 32-bit cells for float: at most 65536 pixels, drained before they could overflow.
template <typename F>
struct JointTally {
    using cell = position_t<F>;
    std::vector<cell> cells;
    int bins_x, bins_y;
    JointTally(int bx, int by) : cells(static_cast<size_t>((bx + 1) * (by + 1)), 0), bins_x(bx), bins_y(by) {}

    void add(const position_t<F>* at_x, const position_t<F>* at_y, int n) {
        const int pitch = bins_y + 1;
        for (int i = 0; i < n; ++i) {
            const JointTap<F> tap = joint_tap<F>(at_x[i], at_y[i]);
            if ((tap.i >= bins_x) | (tap.j >= bins_y)) continue;  // trash: does not count
            cell* at = cells.data() + tap.i * pitch + tap.j;
            at[0] += tap.w00;
            at[1] += tap.w01;
            at[pitch] += tap.w10;
            at[pitch + 1] += tap.w11;
        }
    }
    void drain(total_t<F>* mass) {
        for (int i = 0; i < bins_x; ++i)
            for (int j = 0; j < bins_y; ++j)
                mass[i * bins_y + j] += static_cast<total_t<F>>(cells[static_cast<size_t>(i * (bins_y + 1) + j)]);
        std::fill(cells.begin(), cells.end(), cell{0});
    }
};

inline constexpr int kDrainBlocks = 48;   // 49152 pixels of 2^16 fit 32 bits
inline constexpr int64_t kMaxTasks = 16;  // per image: bounds the extra memory to 16 tables

}  // namespace

#define SARCORE_DEFINE_SLOPES(T)                                                                               \
    SARCORE_MULTIVERSION static void slopes(const T* across, const T* along, const uint8_t* mask, int n,       \
                                            const compute_t<T>* gradient, const Axis& axis, const Axis& other, \
                                            int step, int other_step, T* out) {                                \
        mask ? slope_loop(across, along, mask, n, gradient, axis, other, step, other_step, out)                \
             : slope_loop(across, along, nullptr, n, gradient, axis, other, step, other_step, out);            \
    }
SARCORE_DEFINE_SLOPES(Half)
SARCORE_DEFINE_SLOPES(BFloat16)
SARCORE_DEFINE_SLOPES(float)
SARCORE_DEFINE_SLOPES(double)
#undef SARCORE_DEFINE_SLOPES

// ------ drivers

template <typename T>
void joint_histogram_cpu(const T* x, const T* y, const uint8_t* mask, Images images, Axis ax, Axis ay, int threads,
                         compute_t<T>* out) {
    using F = compute_t<T>;
    threads = team_for(images, threads);
    const int64_t cells = int64_t{ax.bins} * ay.bins, tasks = std::min(images.tasks(), kMaxTasks);
    const int64_t span = (images.pixels / tasks / kBlock + 1) * kBlock;
    std::vector<total_t<F>> masses(static_cast<size_t>(tasks > 1 ? images.count * tasks * cells : 0));
    const auto write = [&](const total_t<F>* mass, F* row) {
        for (int64_t c = 0; c < cells; ++c)
            row[c] = static_cast<F>(static_cast<double>(mass[c]) / static_cast<double>(int64_t{1} << Fixed<F>::bits));
    };
    parallel_for(images.count * tasks, threads, [&](int64_t task) {
        const int64_t image = task / tasks, begin = std::min(images.pixels, task % tasks * span),
                      end = std::min(images.pixels, begin + span);
        JointTally<F> tally(ax.bins, ay.bins);
        std::vector<total_t<F>> own(static_cast<size_t>(tasks > 1 ? 0 : cells), 0);
        total_t<F>* mass = tasks > 1 ? masses.data() + task * cells : own.data();
        position_t<F> at_x[kBlock], at_y[kBlock];
        int blocks = 0;
        for (int64_t p = begin; p < end; p += kBlock) {
            const int n = static_cast<int>(std::min<int64_t>(kBlock, end - p));
            const int64_t at = image * images.pixels + p;
            positions(x + at, y + at, mask ? mask + at : nullptr, n, ax, ay, at_x, at_y);
            tally.add(at_x, at_y, n);
            if (++blocks % kDrainBlocks == 0) tally.drain(mass);
        }
        tally.drain(mass);
        if (tasks == 1) write(mass, out + image * cells);
    });
    if (tasks == 1) return;
    parallel_for(images.count, threads, [&](int64_t image) {
        total_t<F>* mass = masses.data() + image * tasks * cells;
        merge_tasks<F>(mass, tasks, static_cast<int>(cells));
        write(mass, out + image * cells);
    });
}

template <typename T>
void joint_histogram_backward_cpu(const compute_t<T>* gradient, const T* x, const T* y, const uint8_t* mask,
                                  Images images, Axis ax, Axis ay, int threads, T* out_x, T* out_y) {
    threads = team_for(images, threads);
    const int64_t tasks = images.tasks(), cells = int64_t{ax.bins} * ay.bins;
    parallel_for(images.count * tasks, threads, [&](int64_t task) {
        const int64_t image = task / tasks, begin = task % tasks * kChunk * kChunksPerTask;
        const int64_t end = std::min(images.pixels, begin + int64_t{kChunk} * kChunksPerTask);
        const compute_t<T>* g = gradient + image * cells;
        for (int64_t p = image * images.pixels + begin; p < image * images.pixels + end; p += kSlopeBlock) {
            const int n = static_cast<int>(std::min<int64_t>(kSlopeBlock, image * images.pixels + end - p));
            const uint8_t* m = mask ? mask + p : nullptr;
            if (out_x) slopes(x + p, y + p, m, n, g, ax, ay, ay.bins, 1, out_x + p);
            if (out_y) slopes(y + p, x + p, m, n, g, ay, ax, 1, ay.bins, out_y + p);
        }
    });
}

// ------ instances

#define SARCORE_INSTANCE(T) \
    template void joint_histogram_cpu<T>(const T*, const T*, const uint8_t*, Images, Axis, Axis, int, compute_t<T>*);
SARCORE_INSTANCE(uint8_t)
SARCORE_INSTANCE(uint16_t)
SARCORE_INSTANCE(Half)
SARCORE_INSTANCE(BFloat16)
SARCORE_INSTANCE(float)
SARCORE_INSTANCE(double)
#undef SARCORE_INSTANCE
#define SARCORE_INSTANCE(T)                                                                                        \
    template void joint_histogram_backward_cpu<T>(const compute_t<T>*, const T*, const T*, const uint8_t*, Images, \
                                                  Axis, Axis, int, T*, T*);
SARCORE_INSTANCE(Half)
SARCORE_INSTANCE(BFloat16)
SARCORE_INSTANCE(float)
SARCORE_INSTANCE(double)
#undef SARCORE_INSTANCE

}  // namespace sarcore
