// Sums of windows on the CPU: rows of pixels come in, rows of window sums come out.
#pragma once

#include "despeckle/formula.h"

namespace sarcore {

inline constexpr int kLevels = 5;  // sums over 1, 2, 4, 8 and 16 pixels

// The rows that one new row meets. Level k holds sums, along y, over 2^k rows of sums over a window along x.
struct SumRows {
    const double* older[kLevels];  // of level k - 1, the row that makes one of level k with the newest
    const double* piece[kLevels];  // of level k, the piece of the window that now ends
    double* fresh[kLevels];        // of level k, where its newest row goes
};

// One row of n + window - 1 pixels: the newest rows of all levels and, once `window` rows are there, the sums of the
// windows that end with it. scratch: 2 (n + window) numbers.
void push_row(const double* in, int n, int window, const SumRows& rows, double* scratch, double* total);

// The rings in which the rows of each level are kept until they are needed.
class RowSums {
  public:
    RowSums(int window, int64_t length, double* memory) : window_(window), length_(length), scratch_(memory) {
        memory += 2 * (length + window);
        for (; 1 << levels_ <= window; ++levels_) {
            rings_[levels_] = memory;
            memory += length * capacity(levels_);
        }
    }
    static int64_t size(int window, int64_t length) {
        int64_t rows = 0;
        for (int level = 0; 1 << level <= window; ++level) rows += capacity(level);
        return rows * length + 2 * (length + window);
    }
    // in: the row with index `newest`, of `length` pixels. total[i] is the sum of the window whose corner is at i.
    void push(const double* in, int64_t newest, double* total) {
        SumRows rows{};
        for (int level = 0; level < levels_; ++level) {
            const int64_t start = newest - (1 << level) + 1;
            rows.fresh[level] = row(level, start);
            if (level) rows.older[level] = row(level - 1, start);
            if (level && window_ >> level & 1)
                rows.piece[level] = row(level, newest - window_ + 1 + digit_offset(window_, level));
        }
        push_row(in, static_cast<int>(length_) - window_ + 1, window_, rows, scratch_, total);
    }

  private:
    static int64_t capacity(int level) { return (1 << level) + 1; }
    // Rows before the first one are wanted too, for sums that nobody reads.
    double* row(int level, int64_t start) {
        const int64_t slots = capacity(level);
        return rings_[level] + (start + slots * kLargestWindow) % slots * length_;
    }

    int window_, levels_ = 0;
    int64_t length_;
    double *scratch_, *rings_[kLevels] = {};
};

}  // namespace sarcore
