// Frost's filter on the CPU: the rows of one result. A ring of pixels at one distance is summed for the whole row, from
// sums of the two rows at equal distance, then gets one weight per pixel.
#include "despeckle/cpu_frost.h"
#include "common/parallel.h"

namespace sarcore {

namespace {

// Where the terms of a ring are: left and right neighbours in the rows of pairs; `zeros` stands for no right neighbour.
struct Terms {
    const double *left[kMostTerms], *right[kMostTerms];
};

template <int count>
SARCORE_HD double ring_sum(const Terms& at, int i) {
    double sum = at.left[0][i] + at.right[0][i];
    for (int k = 1; k < count; ++k) sum = sum + (at.left[k][i] + at.right[k][i]);
    return sum;
}

template <typename F, int count, bool counted>
SARCORE_HD void ring_loop(const Terms& values, const Terms& valid, const double* __restrict decay, double distance,
                          double pixels, int n, double* __restrict above, double* __restrict below) {
    for (int i = 0; i < n; ++i) {
        const double weight = ring_weight<F>(decay[i], distance);
        above[i] = above[i] + weight * ring_sum<count>(values, i);
        below[i] = below[i] + weight * (counted ? ring_sum<count>(valid, i) : pixels);
    }
}

Terms terms_of(const Ring& ring, const double* pairs, int64_t pitch, int radius, const double* zeros) {
    Terms at{};
    for (int k = 0; k < ring.terms; ++k) {
        const double* centre = pairs + ring.dy[k] * pitch + radius;
        at.left[k] = centre - ring.dx[k];
        at.right[k] = ring.dx[k] ? centre + ring.dx[k] : zeros;
    }
    return at;
}

}  // namespace

#define SARCORE_RING(count)                                                                           \
    valid ? ring_loop<F, count, true>(*values, *valid, decay, distance, ring.pixels, n, above, below) \
          : ring_loop<F, count, false>(*values, *values, decay, distance, ring.pixels, n, above, below)
#define SARCORE_DEFINE_RING(name, type)                                                               \
    SARCORE_MULTIVERSION static void name(const Ring& ring, const Terms* values, const Terms* valid,  \
                                          const double* decay, int n, double* above, double* below) { \
        using F = type;                                                                               \
        const double distance = exact_sqrt(static_cast<double>(ring.squared));                        \
        switch (ring.terms) {                                                                         \
            case 1:                                                                                   \
                SARCORE_RING(1);                                                                      \
                return;                                                                               \
            case 2:                                                                                   \
                SARCORE_RING(2);                                                                      \
                return;                                                                               \
            case 3:                                                                                   \
                SARCORE_RING(3);                                                                      \
                return;                                                                               \
            default:                                                                                  \
                SARCORE_RING(4);                                                                      \
        }                                                                                             \
    }
SARCORE_DEFINE_RING(add_ring_float, float)
SARCORE_DEFINE_RING(add_ring_double, double)
#undef SARCORE_DEFINE_RING
#undef SARCORE_RING

SARCORE_MULTIVERSION static void divide_rows(const double* a, const double* __restrict b, int n,
                                             double* __restrict out) {
    for (int i = 0; i < n; ++i) out[i] = a[i] / (b[i] > 0.0 ? b[i] : 1.0);
}

void frost_row(const FrostRow& row, const Rings& rings, bool wide, double* scratch, double* out) {
    const int radius = row.radius, n = row.columns, length = n + 2 * radius;
    const int64_t pitch = length;
    double *const zeros = scratch, *const above = zeros + n, *const below = above + n, *pairs = below + n;
    std::fill_n(zeros, 3 * n, 0.0);
    double* const valid_pairs = row.valid_at ? pairs + (radius + 1) * pitch : nullptr;
    for (int dy = 0; dy <= radius; ++dy) {
        const double *upper = row.rows[radius - dy], *lower = row.rows[radius + dy];
        const auto pair = [&](int64_t at, double* target) {
            dy ? add_rows(upper + at, lower + at, length, target) : void(std::copy_n(upper + at, length, target));
        };
        pair(0, pairs + dy * pitch);
        if (valid_pairs) pair(row.valid_at, valid_pairs + dy * pitch);
    }
    for (int r = 0; r < rings.count; ++r) {
        const Ring& ring = rings.ring[r];
        const Terms values = terms_of(ring, pairs, pitch, radius, zeros);
        const Terms valid = valid_pairs ? terms_of(ring, valid_pairs, pitch, radius, zeros) : Terms{};
        (wide ? add_ring_double : add_ring_float)(ring, &values, valid_pairs ? &valid : nullptr, row.decay, n, above,
                                                  below);
    }
    divide_rows(above, below, n, out);
}

}  // namespace sarcore
