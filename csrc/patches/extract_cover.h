// Which patches cover a row of the padded scene, and which of its columns they need: for the grid by arithmetic, for
// positions in any order from a list sorted by rows.
#pragma once

#include <algorithm>
#include <utility>

#include "patches/extract.h"

namespace sarcore {

struct Placed {
    int64_t row, column, number;
};
struct Span {
    int64_t first, last;
};

class Cover {
  public:
    explicit Cover(const PatchLayout& layout) : l_(layout) {
        if (!l_.index) {
            const int64_t down = l_.count / l_.across;
            rows_ = {0, (down - 1) * l_.down + l_.h};
            columns_ = {0, (l_.across - 1) * l_.right + l_.w};
            return;
        }
        columns_ = {l_.column(0), l_.column(0)};
        for (int64_t k = 0; k < l_.count; ++k) {
            sorted_.push_back({l_.row(k), l_.column(k), k});
            columns_ = {std::min(columns_.first, l_.column(k)), std::max(columns_.last, l_.column(k) + l_.w)};
        }
        std::stable_sort(sorted_.begin(), sorted_.end(),
                         [](const Placed& a, const Placed& b) { return a.row < b.row; });
        rows_ = {sorted_.front().row, sorted_.back().row + l_.h};
    }

    Span rows() const { return rows_; }        // to which patches reach
    Span columns() const { return columns_; }  // likewise

    // The patches that reach into rows y to `last`, not included: rows of the grid, or places of the sorted list.
    Span covering(int64_t y, int64_t last) const {
        if (!l_.index) {
            const int64_t first = y < l_.h ? 0 : (y - l_.h) / l_.down + 1;
            return {first, std::min((last - 1) / l_.down + 1, l_.count / l_.across)};
        }
        const auto before = [](int64_t row, const Placed& p) { return row < p.row; };
        const auto first = std::upper_bound(sorted_.begin(), sorted_.end(), y - l_.h, before);
        return {first - sorted_.begin(), std::upper_bound(first, sorted_.end(), last - 1, before) - sorted_.begin()};
    }

    // body(row, column, number) for the patches of a `covering`, in their order.
    template <typename Body>
    void for_patches(Span covering, const Body& body) const {
        for (int64_t k = covering.first; k < covering.last; ++k) {
            if (l_.index) {
                const Placed& p = sorted_[static_cast<size_t>(k)];
                body(p.row, p.column, p.number);
                continue;
            }
            for (int64_t j = 0; j < l_.across; ++j) body(k * l_.down, j * l_.right, k * l_.across + j);
        }
    }

    const PatchLayout& layout() const { return l_; }
    const std::vector<Placed>& sorted() const { return sorted_; }

  private:
    PatchLayout l_;
    std::vector<Placed> sorted_;
    Span rows_{}, columns_{};
};

// The columns that the patches of a `covering` need, as disjoint spans. Neighbouring rows share most of their patches:
// the sorted columns are kept from call to call.
class Spans {
  public:
    explicit Spans(const Cover& cover) : cover_(cover) {}

    const std::vector<Span>& of(Span covering) {
        if (started_ && covering.first == now_.first && covering.last == now_.last) return spans_;
        const PatchLayout& l = cover_.layout();
        if (l.index) {
            follow(covering);
        } else if (!started_) {
            columns_.clear();
            for (int64_t j = 0; j < l.across; ++j) columns_.push_back(j * l.right);
        }
        now_ = covering;
        started_ = true;
        merge(l.w);
        return spans_;
    }

  private:
    void follow(Span covering) {
        const auto& sorted = cover_.sorted();
        if (!started_ || covering.first >= now_.last || covering.last <= now_.first) {
            columns_.clear();
            now_ = {covering.first, covering.first};
        }
        for (int64_t k = now_.first; k < covering.first; ++k)
            columns_.erase(std::lower_bound(columns_.begin(), columns_.end(), sorted[static_cast<size_t>(k)].column));
        for (int64_t k = now_.last; k < covering.last; ++k) {
            const int64_t column = sorted[static_cast<size_t>(k)].column;
            columns_.insert(std::upper_bound(columns_.begin(), columns_.end(), column), column);
        }
    }

    void merge(int64_t width) {
        spans_.clear();
        for (const int64_t column : columns_) {
            if (!spans_.empty() && column <= spans_.back().last)
                spans_.back().last = column + width;
            else
                spans_.push_back({column, column + width});
        }
    }

    const Cover& cover_;
    std::vector<int64_t> columns_;
    std::vector<Span> spans_;
    Span now_{};
    bool started_ = false;
};

}  // namespace sarcore
