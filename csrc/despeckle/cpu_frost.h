// One row of Frost's filter on the CPU.
#pragma once

#include "despeckle/cpu_rows.h"
#include "despeckle/rings.h"

namespace sarcore {

struct FrostRow {
    const double* rows[kLargestWindow];  // intensities, columns + 2 radius each
    int64_t valid_at;                    // where in a row its ones and zeros begin, 0 without invalid pixels
    const double* decay;                 // damping Ci^2 of every result
    int radius, columns;

    static int64_t scratch(int radius, int columns) {
        return 3 * columns + 2 * (radius + 1) * static_cast<int64_t>(columns + 2 * radius);
    }
};

// wide: weights in double, else in float. scratch: FrostRow::scratch(radius, columns) numbers.
void frost_row(const FrostRow& row, const Rings& rings, bool wide, double* scratch, double* out);

}  // namespace sarcore
