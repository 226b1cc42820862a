// Speckle filters on the CPU: those that need the mean and the variance of the window.
//
// A tile (a strip of columns of a band of rows) is read row by row. A row of intensities and one of their squares lie
// in one buffer, behind them, where pixels are invalid, one of ones and zeros; its window sums along x go into rings
// of rows that hold the sums over 1, 2, 4, .. rows, and a row of results is what those give for the window's binary
// digits. The pass without counts stops at the first invalid pixel, and the tile is done again with them: the results
// have the same bits.
// Floor: 2 sizeof(T) bytes per pixel; about 4 + 2 log2(window) additions on doubles per pixel.
#include "despeckle/cpu_tiles.h"
#include "despeckle/kernels.h"

namespace sarcore {

namespace {

// Sums over `window` consecutive rows, the newest of which was pushed last.
class RowSums {
  public:
    RowSums(int window, int64_t length, double* memory) : window_(window), length_(length) {
        for (; 1 << levels_ <= window; ++levels_) {
            rings_[levels_] = memory;
            memory += length * capacity(levels_);
        }
    }
    static int64_t size(int window, int64_t length) {
        int64_t rows = 0;
        for (int level = 0; 1 << level <= window; ++level) rows += capacity(level);
        return rows * length;
    }
    // Where the row with index `newest` is to be written.
    double* slot(int64_t newest) { return row(0, newest); }
    void push(int64_t newest) {
        for (int level = 1; level < levels_ && newest >= (1 << level) - 1; ++level) {
            const int64_t start = newest - (1 << level) + 1, half = start + (1 << (level - 1));
            add_rows(row(level - 1, start), row(level - 1, half), static_cast<int>(length_), row(level, start));
        }
    }
    void sum(int64_t newest, double* out) {
        const double* terms[5];
        int count = 0;
        int64_t start = newest - window_ + 1;
        for (int level = levels_ - 1; level >= 0; --level)
            if (window_ >> level & 1) {
                terms[count++] = row(level, start);
                start += 1 << level;
            }
        add_rows(terms, count, static_cast<int>(length_), out);
    }

  private:
    static int64_t capacity(int level) { return (1 << level) + 1; }
    double* row(int level, int64_t start) { return rings_[level] + start % capacity(level) * length_; }

    int window_, levels_ = 0;
    int64_t length_;
    double* rings_[5] = {};
};

template <bool counted, typename T>
bool filter_tile(const Tile<T>& tile, const Filter& filter, std::vector<double>& scratch, double& lowest) {
    const int window = filter.window, radius = filter.radius();
    const bool squares = filter.method != Method::boxcar, keep = filter.method != Method::enl;
    const int kinds = 1 + (squares ? 1 : 0) + (counted ? 1 : 0);
    const int64_t pitch = (tile.columns + window + 6) / 8 * 8, length = kinds * pitch;
    const int64_t sums_size = RowSums::size(window, length);
    scratch.resize(static_cast<size_t>((radius + 1) * length + sums_size + 4 * (length + 8) + length + pitch));
    double* const inputs = scratch.data();  // a ring: the centre pixels are needed when the last row is there
    double* const level_memory = inputs + (radius + 1) * length;
    double* const partial = level_memory + sums_size;
    double* const totals = partial + 4 * (length + 8);
    double* const result = totals + length;
    const int64_t valid_at = (kinds - 1) * pitch;
    RowSums sums(window, length, level_memory);
    for (int64_t t = 0; t < tile.rows + window - 1; ++t) {
        double* const row = inputs + t % (radius + 1) * length;
        if (!tile.template read<counted>(tile.y0 - radius + t, radius, filter.domain, row, row + valid_at, lowest))
            return false;
        if (squares) square_row(row, static_cast<int>(pitch), row + pitch);
        window_sums(row, static_cast<int>(length) - window + 1, window, partial, sums.slot(t));
        sums.push(t);
        if (t < window - 1) continue;
        sums.sum(t, totals);
        const double* centre = inputs + (t - radius) % (radius + 1) * length + radius;
        filter_row(totals, squares ? totals + pitch : nullptr, counted ? totals + valid_at : nullptr, centre,
                   tile.columns, filter, result);
        const Domain domain = keep ? filter.domain : Domain::intensity;
        tile.template write<counted>(tile.y0 + t - window + 1, domain, keep, result, centre + valid_at);
    }
    return true;
}

}  // namespace

template <typename T>
double despeckle_cpu(const T* x, const uint8_t* mask, Planes planes, const Filter& filter, int threads, T* out) {
    return for_each_tile(x, mask, planes, threads, out,
                         [&](const Tile<T>& tile, std::vector<double>& scratch, double& lowest) {
                             if (!filter_tile<false>(tile, filter, scratch, lowest))
                                 filter_tile<true>(tile, filter, scratch, lowest);
                         });
}

#define SARCORE_INSTANCE(T) template double despeckle_cpu<T>(const T*, const uint8_t*, Planes, const Filter&, int, T*);
SARCORE_INSTANCE(Half)
SARCORE_INSTANCE(BFloat16)
SARCORE_INSTANCE(float)
SARCORE_INSTANCE(double)
#undef SARCORE_INSTANCE

}  // namespace sarcore
