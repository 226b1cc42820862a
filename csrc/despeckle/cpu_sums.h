// Sums of windows along y on the CPU, row by row.
#pragma once

#include "despeckle/cpu_rows.h"

namespace sarcore {

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
        for (int level = 0; level < levels_; ++level)
            if (window_ >> level & 1) terms[count++] = row(level, newest - window_ + 1 + digit_offset(window_, level));
        add_rows(terms, count, static_cast<int>(length_), out);
    }

  private:
    static int64_t capacity(int level) { return (1 << level) + 1; }
    double* row(int level, int64_t start) { return rings_[level] + start % capacity(level) * length_; }

    int window_, levels_ = 0;
    int64_t length_;
    double* rings_[5] = {};
};

}  // namespace sarcore
