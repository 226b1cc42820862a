// The vector loops of the speckle filters.
#include "despeckle/cpu_rows.h"

#include "common/parallel.h"

namespace sarcore {

// ------ pixels to intensities and back

namespace {

template <Domain domain, typename T>
SARCORE_HD bool read_loop(const T* __restrict x, const uint8_t* __restrict mask, int n, double* __restrict out) {
    int bad = 0;
    for (int i = 0; i < n; ++i) {
        const double v = static_cast<double>(widen(x[i]));
        bad |= impossible<domain>(v) ? 1 : 0;
        out[i] = intensity_of<domain>(v);
    }
    if (mask)
        for (int i = 0; i < n; ++i) bad |= mask[i] == 0 ? 1 : 0;
    return bad == 0;
}

template <Domain domain, typename T>
SARCORE_HD void read_loop_counted(const T* x, const uint8_t* mask, int n, double* out, double* valid, double& lowest) {
    double low = lowest;
    for (int i = 0; i < n; ++i) {
        const double v = static_cast<double>(widen(x[i]));
        const bool counts = (v == v) & (mask ? mask[i] != 0 : true);
        if (counts && impossible<domain>(v)) low = v < low ? v : low;
        out[i] = counts ? intensity_of<domain>(v) : 0.0;
        valid[i] = counts ? 1.0 : 0.0;
    }
    lowest = low;
}

template <Domain domain, typename T>
SARCORE_HD void write_loop(const double* __restrict intensity, int n, T* __restrict out) {
    for (int i = 0; i < n; ++i) out[i] = narrow<T>(static_cast<compute_t<T>>(unit_of<domain>(intensity[i])));
}

template <Domain domain, typename T>
SARCORE_HD void write_loop_counted(const double* intensity, const double* valid, const T* x, const uint8_t* mask, int n,
                                   bool keep, T* out) {
    for (int i = 0; i < n; ++i) {
        const compute_t<T> v = static_cast<compute_t<T>>(unit_of<domain>(intensity[i]));
        const compute_t<T> other = keep && mask && mask[i] == 0 ? static_cast<compute_t<T>>(widen(x[i]))
                                                                : static_cast<compute_t<T>>(__builtin_nan(""));
        out[i] = narrow<T>(valid[i] != 0.0 ? v : other);
    }
}

}  // namespace

#define SARCORE_EVERY_DOMAIN(loop)          \
    switch (domain) {                       \
        case Domain::intensity:             \
            return loop(Domain::intensity); \
        case Domain::amplitude:             \
            return loop(Domain::amplitude); \
        case Domain::db:                    \
            return loop(Domain::db);        \
        default:                            \
            return loop(Domain::log);       \
    }
#define SARCORE_READ(d) read_loop<d>(x, mask, n, out)
#define SARCORE_READ_COUNTED(d) read_loop_counted<d>(x, mask, n, out, valid, lowest)
#define SARCORE_WRITE(d) write_loop<d>(intensity, n, out)
#define SARCORE_WRITE_COUNTED(d) write_loop_counted<d>(intensity, valid, x, mask, n, keep, out)
#define SARCORE_DEFINE_ROWS(T)                                                                                         \
    SARCORE_MULTIVERSION bool read_row(const T* x, const uint8_t* mask, int n, Domain domain, double* out){            \
        SARCORE_EVERY_DOMAIN(SARCORE_READ)} SARCORE_MULTIVERSION void read_row_counted(const T* x,                     \
                                                                                       const uint8_t* mask, int n,     \
                                                                                       Domain domain, double* out,     \
                                                                                       double* valid, double& lowest){ \
        SARCORE_EVERY_DOMAIN(SARCORE_READ_COUNTED)} SARCORE_MULTIVERSION void write_row(const double* intensity,       \
                                                                                        int n, Domain domain,          \
                                                                                        T* out){SARCORE_EVERY_DOMAIN(  \
        SARCORE_WRITE)} SARCORE_MULTIVERSION void write_row_counted(const double* intensity, const double* valid,      \
                                                                    const T* x, const uint8_t* mask, int n,            \
                                                                    Domain domain, bool keep, T* out) {                \
        SARCORE_EVERY_DOMAIN(SARCORE_WRITE_COUNTED)                                                                    \
    }
SARCORE_DEFINE_ROWS(Half)
SARCORE_DEFINE_ROWS(BFloat16)
SARCORE_DEFINE_ROWS(float)
SARCORE_DEFINE_ROWS(double)
#undef SARCORE_DEFINE_ROWS

// ------ sums

SARCORE_MULTIVERSION void square_row(const double* __restrict x, int n, double* __restrict out) {
    for (int i = 0; i < n; ++i) out[i] = x[i] * x[i];
}

SARCORE_MULTIVERSION void add_rows(const double* a, const double* b, int n, double* __restrict out) {
    for (int i = 0; i < n; ++i) out[i] = a[i] + b[i];
}

// ------ filters

namespace {

template <Method method>
SARCORE_HD void filter_loop(const double* __restrict sums, const double* __restrict squares,
                            const double* __restrict counts, const double* __restrict centre, int n, const Filter& f,
                            double* __restrict out) {
    const Filter filter = f;
    if (counts) {
        for (int i = 0; i < n; ++i) {
            const double inverse = 1.0 / (counts[i] > 0.0 ? counts[i] : 1.0), m = sums[i] * inverse;
            const double v = method == Method::boxcar ? 0.0 : variance_of(m, squares[i], inverse);
            out[i] = filtered<method>(m, v, centre[i], filter);
        }
        return;
    }
    const double inverse = 1.0 / filter.pixels();
    for (int i = 0; i < n; ++i) {
        const double m = sums[i] * inverse;
        const double v = method == Method::boxcar ? 0.0 : variance_of(m, squares[i], inverse);
        out[i] = filtered<method>(m, v, centre[i], filter);
    }
}

}  // namespace

SARCORE_MULTIVERSION void filter_row(const double* sums, const double* squares, const double* counts,
                                     const double* centre, int n, const Filter& filter, double* out) {
    switch (filter.method) {
        case Method::boxcar:
            return filter_loop<Method::boxcar>(sums, squares, counts, centre, n, filter, out);
        case Method::lee:
            return filter_loop<Method::lee>(sums, squares, counts, centre, n, filter, out);
        case Method::enhanced_lee:
            return filter_loop<Method::enhanced_lee>(sums, squares, counts, centre, n, filter, out);
        case Method::kuan:
            return filter_loop<Method::kuan>(sums, squares, counts, centre, n, filter, out);
        case Method::gamma_map:
            return filter_loop<Method::gamma_map>(sums, squares, counts, centre, n, filter, out);
        case Method::frost:
            return filter_loop<Method::frost>(sums, squares, counts, centre, n, filter, out);
        case Method::refined_lee:
            return filter_loop<Method::refined_lee>(sums, squares, counts, centre, n, filter, out);
        default:
            return filter_loop<Method::enl>(sums, squares, counts, centre, n, filter, out);
    }
}

}  // namespace sarcore
