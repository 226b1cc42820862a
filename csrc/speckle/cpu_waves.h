// Correlated speckle on the CPU, tile by tile: Gaussian fields smoothed by the point spread, squared and added.
#pragma once

#include <algorithm>

#include "speckle/cpu_field.h"
#include "speckle/kernels.h"

namespace sarcore {

inline constexpr int kTileRows = 64, kTileColumns = 256;

struct Tile {
    int64_t image, y, x;  // first row and column in the image
    int rows, columns;
    static Tile of(const SpeckleArguments& a, int64_t image, int64_t y, int64_t x) {
        return {image, y, x, static_cast<int>(std::min<int64_t>(kTileRows, a.height - y)),
                static_cast<int>(std::min<int64_t>(kTileColumns, a.width - x))};
    }
};

// Gains of the tile's pixels, row by row: rows * columns numbers, or pairs of them for complex images.
void tile_gains(const SpeckleArguments& arguments, const Tile& tile, float* out);

}  // namespace sarcore
