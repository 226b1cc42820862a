// Loops over one row of a tile, compiled for several instruction sets (cpu_rows.cpp).
#pragma once

#include "despeckle/formula.h"

namespace sarcore {

// n pixels to intensities. False, at once, if one of them is masked or impossible.
// Counted: invalid pixels become 0 and get valid[i] = 0; `lowest` falls to the smallest impossible number met; in the
// result they are NaN, or, to keep masked pixels, x.
#define SARCORE_DECLARE_ROWS(T)                                                                                  \
    bool read_row(const T* x, const uint8_t* mask, int n, Domain domain, double* out);                           \
    void read_row_counted(const T* x, const uint8_t* mask, int n, Domain domain, double* out, double* valid,     \
                          double& lowest);                                                                       \
    void write_row(const double* intensity, int n, Domain domain, T* out);                                       \
    void write_row_counted(const double* intensity, const double* valid, const T* x, const uint8_t* mask, int n, \
                           Domain domain, bool keep, T* out);
SARCORE_DECLARE_ROWS(Half)
SARCORE_DECLARE_ROWS(BFloat16)
SARCORE_DECLARE_ROWS(float)
SARCORE_DECLARE_ROWS(double)
#undef SARCORE_DECLARE_ROWS

void square_row(const double* x, int n, double* out);
void add_rows(const double* a, const double* b, int n, double* out);
// Sums of the windows (squares may be null for boxcar, counts for windows without invalid pixels) to intensities.
void filter_row(const double* sums, const double* squares, const double* counts, const double* centre, int n,
                const Filter& filter, double* out);

}  // namespace sarcore
