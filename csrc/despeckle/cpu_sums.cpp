// The loop that makes window sums, once per window size: sums along x of the new row, and what they make along y with
// the rows before, in one pass. Only sums over 4 and 8 neighbours along x get rows of their own, for windows that need
// longer ones.
#include "despeckle/cpu_sums.h"

#include "common/parallel.h"

#if defined(__GNUC__) && !defined(__clang__)
#define SARCORE_INDEPENDENT _Pragma("GCC ivdep")  // no row is written that the same pass reads
#else
#define SARCORE_INDEPENDENT
#endif

namespace sarcore {

namespace {

// Sum of the window along x that begins at i, pieces from the shortest to the longest.
template <int window>
SARCORE_HD double sum_along_x(const double* x, const double* fours, const double* eights, int i) {
    double sum = x[i + window - 1];
    if constexpr ((window & 2) != 0) {
        const int at = i + digit_offset(window, 1);
        sum = sum + (x[at] + x[at + 1]);
    }
    if constexpr ((window & 4) != 0) {
        const int at = i + digit_offset(window, 2);
        if constexpr (window < 8) {
            sum = sum + ((x[at] + x[at + 1]) + (x[at + 2] + x[at + 3]));
        } else {
            sum = sum + fours[at];
        }
    }
    if constexpr ((window & 8) != 0) {
        const int at = i + digit_offset(window, 3);
        if constexpr (window < 16) {
            sum = sum + (fours[at] + fours[at + 4]);
        } else {
            sum = sum + eights[at];
        }
    }
    if constexpr ((window & 16) != 0) sum = sum + (eights[i] + eights[i + 8]);
    return sum;
}

template <int window>
SARCORE_HD void push_loop(const double* x, int n, const SumRows& rows, double* scratch, double* total) {
    const int length = n + window - 1;
    double *const fours = scratch, *const eights = scratch + length;
    if constexpr (window > 8) {
        SARCORE_INDEPENDENT
        for (int i = 0; i < length - 3; ++i) fours[i] = (x[i] + x[i + 1]) + (x[i + 2] + x[i + 3]);
    }
    if constexpr (window > 16) {
        SARCORE_INDEPENDENT
        for (int i = 0; i < length - 7; ++i) eights[i] = fours[i] + fours[i + 4];
    }
    const SumRows r = rows;
    SARCORE_INDEPENDENT
    for (int i = 0; i < n; ++i) {
        const double first = sum_along_x<window>(x, fours, eights, i);
        double newest = first, sum = first;
        r.fresh[0][i] = first;
#define SARCORE_LEVEL(k)                                                 \
    if constexpr (window >= 1 << k) {                                    \
        newest = r.older[k][i] + newest;                                 \
        if constexpr ((window >> k & 1) != 0) sum = sum + r.piece[k][i]; \
        r.fresh[k][i] = newest;                                          \
    }
        SARCORE_LEVEL(1)
        SARCORE_LEVEL(2)
        SARCORE_LEVEL(3)
        SARCORE_LEVEL(4)
#undef SARCORE_LEVEL
        total[i] = sum;
    }
}

}  // namespace

#define SARCORE_WINDOW(w) \
    case w:               \
        return push_loop<w>(in, n, rows, scratch, total);
SARCORE_MULTIVERSION void push_row(const double* in, int n, int window, const SumRows& rows, double* scratch,
                                   double* total) {
    switch (window) {
        SARCORE_WINDOW(3)
        SARCORE_WINDOW(5)
        SARCORE_WINDOW(7)
        SARCORE_WINDOW(9)
        SARCORE_WINDOW(11)
        SARCORE_WINDOW(13)
        SARCORE_WINDOW(15)
        SARCORE_WINDOW(17)
        SARCORE_WINDOW(19)
        SARCORE_WINDOW(21)
        SARCORE_WINDOW(23)
        SARCORE_WINDOW(25)
        SARCORE_WINDOW(27)
        SARCORE_WINDOW(29)
        SARCORE_WINDOW(31)
    }
}
#undef SARCORE_WINDOW

}  // namespace sarcore
