// How an image is cut on the CPU: bands of rows are the tasks, strips of columns keep the sums of a band in the cache.
#pragma once

#include <vector>

#include "common/geometry.h"
#include "common/parallel.h"
#include "despeckle/cpu_rows.h"

namespace sarcore {

inline constexpr int kBandRows = 128;
inline constexpr int kStripColumns = 384;

// The part of one image whose results are written together.
template <typename T>
struct Tile {
    const T* x;  // the whole image
    const uint8_t* mask;
    T* out;
    int64_t height, width, y0, x0;
    int rows, columns;

    // Row y with `radius` pixels on either side of the strip, reflected at the borders. False: there are invalid
    // pixels.
    template <bool counted>
    bool read(int64_t y, int radius, Domain domain, double* values, double* valid, double& lowest) const {
        const int64_t first = x0 - radius, last = x0 + columns + radius;
        const int64_t begin = std::max<int64_t>(first, 0), end = std::min(last, width);
        const int64_t at = reflect(y, height) * width + begin;
        const int n = static_cast<int>(end - begin);
        const uint8_t* m = mask ? mask + at : nullptr;
        double* const target = values + (begin - first);
        if constexpr (counted) {
            read_row_counted(x + at, m, n, domain, target, valid + (begin - first), lowest);
        } else if (!read_row(x + at, m, n, domain, target)) {
            return false;
        }
        const auto mirror = [&](int64_t column) {
            values[column - first] = values[reflect(column, width) - first];
            if constexpr (counted) valid[column - first] = valid[reflect(column, width) - first];
        };
        for (int64_t column = first; column < begin; ++column) mirror(column);
        for (int64_t column = end; column < last; ++column) mirror(column);
        return true;
    }

    template <bool counted>
    void write(int64_t y, Domain domain, bool keep, const double* values, const double* valid) const {
        const int64_t at = y * width + x0;
        if constexpr (counted) {
            write_row_counted(values, valid, x + at, mask ? mask + at : nullptr, columns, domain, keep, out + at);
        } else {
            write_row(values, columns, domain, out + at);
        }
    }
};

// Calls body(tile, scratch, lowest) for every tile; the smallest `lowest`.
template <typename T, typename Body>
double for_each_tile(const T* x, const uint8_t* mask, Planes planes, int threads, T* out, const Body& body) {
    const int64_t pixels = planes.height * planes.width;
    if (planes.count * pixels == 0) return 0.0;
    const int64_t bands = (planes.height + kBandRows - 1) / kBandRows;
    std::vector<double> lowest(static_cast<size_t>(planes.count * bands), 0.0);
    parallel_for(planes.count * bands, team_for({planes.count, pixels}, threads), [&](int64_t task) {
        const int64_t image = task / bands * pixels, y0 = task % bands * kBandRows;
        std::vector<double> scratch;
        for (int64_t x0 = 0; x0 < planes.width; x0 += kStripColumns) {
            const Tile<T> tile{x + image,
                               mask ? mask + image : nullptr,
                               out + image,
                               planes.height,
                               planes.width,
                               y0,
                               x0,
                               static_cast<int>(std::min<int64_t>(kBandRows, planes.height - y0)),
                               static_cast<int>(std::min<int64_t>(kStripColumns, planes.width - x0))};
            body(tile, scratch, lowest[static_cast<size_t>(task)]);
        }
    });
    return *std::min_element(lowest.begin(), lowest.end());
}

}  // namespace sarcore
