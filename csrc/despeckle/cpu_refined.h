// One row of Lee's refined filter on the CPU.
#pragma once

#include "despeckle/cpu_rows.h"
#include "despeckle/refined.h"

namespace sarcore {

// Runs of 1 .. 7 pixels from every column on: out[k * n + i] = in[i] + .. + in[i + k], from left to right.
void run_sums(const double* in, int n, double* out);
// out[i] = (a[i] + c[i]) + b[i]
void add_three(const double* a, const double* b, const double* c, int n, double* out);

// Which half each pixel takes, kHalves for the whole window. rows: three rows of 3 x 3 sums (columns + 4 numbers each),
// counts: of their pixels or null; cu: the speckle's coefficient of variation.
void choose_halves(const double* const* rows, const double* const* counts, int columns, double cu, int32_t* half);

// How many pixels each takes where all are valid.
void part_pixels(const int32_t* half, int columns, double* out);

// out[i] = the sum over the rows of half half[i]. runs: the run sums of the 7 rows, each as run_sums wrote them.
void sum_halves(const double* const* runs, int64_t pitch, const int32_t* half, int columns, double* out);

}  // namespace sarcore
