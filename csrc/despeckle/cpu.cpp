// Speckle filters on the CPU.
//
// A tile (a strip of columns of a band of rows) is read row by row. A row of intensities and one of their squares lie
// in one buffer, behind them, where pixels are invalid, one of ones and zeros; its window sums along x go into rings
// of rows that hold the sums over 1, 2, 4, .. rows, and a row of results is what those give for the window's binary
// digits. The pass without counts stops at the first invalid pixel, and the tile is done again with them: the results
// have the same bits. Frost's filter keeps all rows of its window, Lee's refined filter has its own sums.
// Floor: 2 sizeof(T) bytes per pixel; about 4 + 2 log2(window) additions on doubles per pixel.
#include "despeckle/cpu_frost.h"
#include "despeckle/cpu_refined.h"
#include "despeckle/cpu_sums.h"
#include "despeckle/cpu_tiles.h"
#include "despeckle/kernels.h"

namespace sarcore {

namespace {

template <bool counted, typename T>
bool filter_tile(const Tile<T>& tile, const Filter& filter, const Rings& rings, std::vector<double>& scratch,
                 double& lowest) {
    const int window = filter.window, radius = filter.radius();
    const bool squares = filter.method != Method::boxcar, keep = filter.method != Method::enl;
    const int kinds = 1 + (squares ? 1 : 0) + (counted ? 1 : 0);
    const int64_t pitch = (tile.columns + window + 6) / 8 * 8, length = kinds * pitch;
    const int64_t sums_size = RowSums::size(window, length);
    const bool frost = filter.method == Method::frost;
    const int kept = frost ? window : radius + 1;  // rows of intensities: the centre pixels are needed last
    scratch.resize(static_cast<size_t>(kept * length + sums_size + length + 2 * pitch +
                                       (frost ? FrostRow::scratch(radius, tile.columns) : 0)));
    double* const inputs = scratch.data();
    double* const level_memory = inputs + kept * length;
    double* const totals = level_memory + sums_size;
    double* const result = totals + length;
    double* const decay = result + pitch;
    const int64_t valid_at = counted ? (kinds - 1) * pitch : 0;
    RowSums sums(window, length, level_memory);
    for (int64_t t = 0; t < tile.rows + window - 1; ++t) {
        double* const row = inputs + t % kept * length;
        if (!tile.template read<counted>(tile.y0 - radius + t, radius, filter.domain, row, row + valid_at, lowest))
            return false;
        if (squares) square_row(row, static_cast<int>(pitch), row + pitch);
        sums.push(row, t, totals);
        if (t < window - 1) continue;
        const double* centre = inputs + (t - radius) % kept * length + radius;
        filter_row(totals, squares ? totals + pitch : nullptr, counted ? totals + valid_at : nullptr, centre,
                   tile.columns, filter, frost ? decay : result);
        if (frost) {
            FrostRow neighbours{{}, valid_at, decay, radius, tile.columns};
            for (int q = 0; q < window; ++q) neighbours.rows[q] = inputs + (t - window + 1 + q) % kept * length;
            frost_row(neighbours, rings, sizeof(T) == 8, decay + pitch, result);
        }
        const Domain domain = keep ? filter.domain : Domain::intensity;
        tile.template write<counted>(tile.y0 + t - window + 1, domain, keep, result, centre + valid_at);
    }
    return true;
}

// Lee's refined filter: rings of the rows of run sums, and of sums over 3 and 3 x 3 pixels.
template <bool counted, typename T>
bool refined_tile(const Tile<T>& tile, const Filter& filter, std::vector<double>& scratch, double& lowest) {
    constexpr int kinds = counted ? 3 : 2;
    const int columns = tile.columns;
    const int64_t pitch = (columns + 13) / 8 * 8, length = kinds * pitch;
    scratch.resize(static_cast<size_t>((1 + 7 * 7 + 5 + 3 + 1) * length + 2 * pitch + columns));
    double* const input = scratch.data();
    double* const run_memory = input + length;
    double* const nine_memory = run_memory + 49 * length;
    double* const three_memory = nine_memory + 5 * length;
    double* const totals = three_memory + 3 * length;
    double* const result = totals + length;
    double* const pixels = result + pitch;
    auto* const half = reinterpret_cast<int32_t*>(pixels + pitch);
    const double cu = exact_sqrt(1.0 / filter.looks);
    const int64_t valid_at = counted ? (kinds - 1) * pitch : 0;
    const auto runs = [&](int64_t row) { return run_memory + row % 7 * 7 * length; };
    const auto threes = [&](int64_t row) { return three_memory + row % 3 * length; };
    const auto nines = [&](int64_t start) { return nine_memory + start % 5 * length; };
    for (int64_t t = 0; t < tile.rows + 6; ++t) {
        if (!tile.template read<counted>(tile.y0 - 3 + t, 3, filter.domain, input, input + valid_at, lowest))
            return false;
        square_row(input, static_cast<int>(pitch), input + pitch);
        run_sums(input, static_cast<int>(length), runs(t));
        add_three(input, input + 1, input + 2, static_cast<int>(length) - 2, threes(t));
        if (t < 2) continue;
        add_three(threes(t - 2), threes(t - 1), threes(t), static_cast<int>(length) - 2, nines(t - 2));
        if (t < 6) continue;
        const double* means[3] = {nines(t - 6), nines(t - 4), nines(t - 2)};
        const double* counts[3] = {means[0] + valid_at, means[1] + valid_at, means[2] + valid_at};
        choose_halves(means, counted ? counts : nullptr, columns, cu, half);
        for (int kind = 0; kind < kinds; ++kind) {
            const double* rows[7];
            for (int q = 0; q < 7; ++q) rows[q] = runs(t - 6 + q) + kind * pitch;
            sum_halves(rows, length, half, columns, totals + kind * pitch);
        }
        if (!counted) part_pixels(half, columns, pixels);
        const double* centre = runs(t - 3) + 3;
        filter_row(totals, totals + pitch, counted ? totals + valid_at : pixels, centre, columns, filter, result);
        tile.template write<counted>(tile.y0 + t - 6, filter.domain, true, result, centre + valid_at);
    }
    return true;
}

template <bool counted, typename T>
bool any_tile(const Tile<T>& tile, const Filter& filter, const Rings& rings, std::vector<double>& scratch,
              double& lowest) {
    return filter.method == Method::refined_lee ? refined_tile<counted>(tile, filter, scratch, lowest)
                                                : filter_tile<counted>(tile, filter, rings, scratch, lowest);
}

}  // namespace

template <typename T>
double despeckle_cpu(const T* x, const uint8_t* mask, Planes planes, const Filter& filter, int threads, T* out) {
    const Rings rings(filter.method == Method::frost ? filter.radius() : 0);
    return for_each_tile(x, mask, planes, threads, out,
                         [&](const Tile<T>& tile, std::vector<double>& scratch, double& lowest) {
                             if (!any_tile<false>(tile, filter, rings, scratch, lowest))
                                 any_tile<true>(tile, filter, rings, scratch, lowest);
                         });
}

#define SARCORE_INSTANCE(T) template double despeckle_cpu<T>(const T*, const uint8_t*, Planes, const Filter&, int, T*);
SARCORE_INSTANCE(Half)
SARCORE_INSTANCE(BFloat16)
SARCORE_INSTANCE(float)
SARCORE_INSTANCE(double)
#undef SARCORE_INSTANCE

}  // namespace sarcore
