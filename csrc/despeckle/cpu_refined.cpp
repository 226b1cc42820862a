// Lee's refined filter on the CPU. All eight halves of every window, and the whole, are summed, from sums of runs along
// x, and the one that belongs to the pixel is kept: about 120 additions per pixel in vector registers, where a gather
// of 28 pixels and their squares would take longer.
#include "despeckle/cpu_refined.h"

#include "common/parallel.h"

namespace sarcore {

namespace {

template <bool counted>
SARCORE_HD void choose_loop(const double* const* rows, const double* const* counts, int columns, double cu,
                            int32_t* __restrict half) {
    const double *r0 = rows[0], *r1 = rows[1], *r2 = rows[2];
    const double *c0 = counted ? counts[0] : r0, *c1 = counted ? counts[1] : r1, *c2 = counted ? counts[2] : r2;
    for (int i = 0; i < columns; ++i) {
        const double centre = mean_of_nine<counted>(r1[i + 2], c1[i + 2], 0.0);
        const double m[9] = {mean_of_nine<counted>(r0[i], c0[i], centre),
                             mean_of_nine<counted>(r0[i + 2], c0[i + 2], centre),
                             mean_of_nine<counted>(r0[i + 4], c0[i + 4], centre),
                             mean_of_nine<counted>(r1[i], c1[i], centre),
                             centre,
                             mean_of_nine<counted>(r1[i + 4], c1[i + 4], centre),
                             mean_of_nine<counted>(r2[i], c2[i], centre),
                             mean_of_nine<counted>(r2[i + 2], c2[i + 2], centre),
                             mean_of_nine<counted>(r2[i + 4], c2[i + 4], centre)};
        half[i] = half_of(m, cu);
    }
}

template <int count>
SARCORE_HD void half_loop(const double* const* rows, const int32_t* __restrict half, int32_t wanted, int columns,
                          double* __restrict out) {
    for (int i = 0; i < columns; ++i) {
        double sum = rows[0][i];
        for (int q = 1; q < count; ++q) sum = sum + rows[q][i];
        out[i] = half[i] == wanted ? sum : out[i];
    }
}

}  // namespace

SARCORE_MULTIVERSION void run_sums(const double* in, int n, double* out) {
    for (int k = 0; k < 7; ++k) {
        const double* previous = out + (k - 1) * static_cast<int64_t>(n);
        double* const next = out + k * static_cast<int64_t>(n);
        for (int i = 0; i < n - k; ++i) next[i] = k ? previous[i] + in[i + k] : in[i];
    }
}

SARCORE_MULTIVERSION void add_three(const double* a, const double* b, const double* c, int n, double* __restrict out) {
    for (int i = 0; i < n; ++i) out[i] = (a[i] + c[i]) + b[i];
}

SARCORE_MULTIVERSION void choose_halves(const double* const* rows, const double* const* counts, int columns, double cu,
                                        int32_t* half) {
    counts ? choose_loop<true>(rows, counts, columns, cu, half) : choose_loop<false>(rows, rows, columns, cu, half);
}

SARCORE_MULTIVERSION static void sum_half(const double* const* rows, int count, const int32_t* half, int32_t wanted,
                                          int columns, double* out) {
    count == 4 ? half_loop<4>(rows, half, wanted, columns, out) : half_loop<7>(rows, half, wanted, columns, out);
}

void sum_halves(const double* const* runs, int64_t pitch, const int32_t* half, int columns, double* out) {
    for (int h = 0; h < kParts; ++h) {
        const double* rows[7];
        int count = 0;
        for (int q = 0; q < 7; ++q) {
            const Run run = run_of(h, q);
            if (run.length) rows[count++] = runs[q] + (run.length - 1) * pitch + run.start;
        }
        sum_half(rows, count, half, h, columns, out);
    }
}

SARCORE_MULTIVERSION void part_pixels(const int32_t* half, int columns, double* out) {
    for (int i = 0; i < columns; ++i) out[i] = half[i] == kHalves ? kWindowPixels : kHalfPixels;
}

}  // namespace sarcore
