// resample on the CPU.
//
// Separable: the axis that leaves fewer pixels to the other goes first. The vertical pass adds whole rows; the
// horizontal pass takes 16 rows at once, transposed, a row per lane, so that any factor and any window vectorises and
// the weights are scalars. The backward pass is the same with the transposed tables, a gather. A tile of results and
// what it needs stay in the second-level cache: small images are one tile, several of them a task. Floor: read the
// input once, write the result once.
#include <cstring>
#include <memory>
#include <new>

#include "common/geometry.h"
#include "common/parallel.h"
#include "resample/cpu_rows.h"

namespace sarcore {

namespace {

constexpr int64_t kCached = 98304;  // elements of a tile's intermediate image
constexpr int64_t kWidest = 1024, kWidestInput = 4096;
constexpr int64_t kTask = 65536;  // pixels of a task of small images

struct FreeAligned {
    void operator()(void* memory) const { ::operator delete[](memory, std::align_val_t{64}); }
};
template <typename F>
using Buffer = std::unique_ptr<F[], FreeAligned>;
template <typename F>
Buffer<F> buffer_of(int64_t count) {
    return Buffer<F>(static_cast<F*>(::operator new[](static_cast<size_t>(count) * sizeof(F), std::align_val_t{64})));
}

struct Tile {
    int64_t y0, y1, x0, x1;
    int64_t height() const { return y1 - y0; }
    int64_t width() const { return x1 - x0; }
};

template <typename T>
class Pass {
    using F = compute_t<T>;
    static constexpr int kLanes = kRows<F>;

  public:
    Pass(const T* in, int64_t planes, int components, const Geometry& geometry, const Finish& finish, const T* upstream,
         T* out)
        : in_(in),
          upstream_(upstream),
          out_(out),
          planes_(planes),
          components_(components),
          finish_(finish),
          height_(geometry.out_height()),
          width_(geometry.out_width()),
          rows_first_(geometry.rows_first()),
          y_(geometry.backward ? transposed_table_of<F>(geometry.y) : table_of<F>(geometry.y)),
          x_(geometry.backward ? transposed_table_of<F>(geometry.x) : table_of<F>(geometry.x)) {}

    void run(int threads) {
        choose_tiles(threads);
        const int64_t down = (height_ + tile_height_ - 1) / tile_height_,
                      across = (width_ + tile_width_ - 1) / tile_width_;
        const int64_t pixels = height_ * width_ + y_.inputs * x_.inputs;
        const int64_t group = down * across > 1 ? 1 : std::max<int64_t>(1, kTask / pixels);
        const int64_t groups = (planes_ + group - 1) / group;
        const int team = planes_ * pixels < kSerialPixels ? 1 : threads;
        parallel_for(groups * down * across, team, [&](int64_t task) {
            Scratch scratch(*this);
            const int64_t y = task / across % down * tile_height_, x = task % across * tile_width_;
            const Tile tile{y, std::min(y + tile_height_, height_), x, std::min(x + tile_width_, width_)};
            const int64_t first = task / (across * down) * group;
            for (int64_t plane = first; plane < std::min(first + group, planes_); ++plane)
                for (int c = 0; c < components_; ++c) resample_tile(plane, c, tile, scratch);
        });
    }

  private:
    bool converted() const { return !std::is_same_v<T, F> || components_ > 1; }
    bool finished_in_place() const { return !converted() && !finish_.clamp && !upstream_; }

    // The largest tile whose intermediate image stays in the cache, and small enough for the threads.
    void choose_tiles(int threads) {
        const auto halved = [](int64_t n) { return (n / 2 + kLanes - 1) / kLanes * kLanes; };
        tile_height_ = height_;
        tile_width_ = width_;
        while (tile_width_ > kLanes &&
               (tile_width_ > kWidest || longest_of_tiles(x_.reach, tile_width_) > kWidestInput))
            tile_width_ = halved(tile_width_);
        input_width_ = longest_of_tiles(x_.reach, tile_width_);
        const auto cached = [&] {
            const int64_t rows = longest_of_tiles(y_.reach, tile_height_);
            return (converted() ? rows * input_width_ : 0) + (rows_first_ ? 0 : rows * tile_width_);
        };
        while (tile_height_ > kLanes && cached() > kCached) tile_height_ = halved(tile_height_);
        const auto tiles = [&] {
            return planes_ * ((height_ - 1) / tile_height_ + 1) * ((width_ - 1) / tile_width_ + 1);
        };
        while (tile_height_ > 2 * kLanes && tiles() < 4 * threads) tile_height_ = halved(tile_height_);
        input_height_ = longest_of_tiles(y_.reach, tile_height_);
    }

    struct Scratch {
        Buffer<F> source, rows, columns, mixed, results;
        explicit Scratch(const Pass& p)
            : source(buffer_of<F>(p.converted() ? p.input_height_ * p.input_width_ : 0)),
              rows(buffer_of<F>(p.rows_first_ ? kLanes * p.input_width_ : p.input_height_ * p.tile_width_)),
              columns(buffer_of<F>(kLanes * p.input_width_)),
              mixed(buffer_of<F>(kLanes * p.tile_width_)),
              results(buffer_of<F>(kLanes * p.tile_width_)) {}
    };

    // One tile of one component of one plane.
    struct Work {
        Tile tile;
        InputRange ys, xs;  // of the input
        const F* source;
        int64_t stride;
        const T* upstream;
        T* out;
        int64_t width() const { return xs.last - xs.first; }
    };

    void resample_tile(int64_t plane, int component, const Tile& tile, Scratch& s) const {
        const int64_t at = (plane * height_ * width_ + tile.y0 * width_ + tile.x0) * components_ + component;
        Work work{tile,
                  y_.inputs_of(tile.y0, tile.y1),
                  x_.inputs_of(tile.x0, tile.x1),
                  nullptr,
                  x_.inputs,
                  upstream_ ? upstream_ + at : nullptr,
                  out_ + at};
        const T* in =
            in_ + (plane * y_.inputs * x_.inputs + work.ys.first * x_.inputs + work.xs.first) * components_ + component;
        if constexpr (std::is_same_v<T, F>) work.source = in;
        if (converted()) {
            work.source = s.source.get();
            work.stride = work.width();
            for (int64_t y = 0; y < work.ys.last - work.ys.first; ++y)
                load_row(in + y * x_.inputs * components_, work.width(), components_, s.source.get() + y * work.stride);
        }
        if (rows_first_)
            shrink_rows(work, s);
        else
            grow_rows(work, s);
    }

    // Vertical, then horizontal.
    void shrink_rows(const Work& work, Scratch& s) const {
        for (int64_t y = work.tile.y0; y < work.tile.y1; y += kLanes) {
            const int count = static_cast<int>(std::min<int64_t>(kLanes, work.tile.y1 - y));
            F* rows[kLanes];
            ask_for_rows_after(work, y_.inputs_of(y, y + count));
            for (int r = 0; r < kLanes; ++r) {
                rows[r] = s.rows.get() + (r < count ? r : 0) * work.width();
                if (r < count) blend_row(work.source, work.ys.first, work.stride, y + r, work.width(), rows[r]);
            }
            F* results[kLanes];
            for (int r = 0; r < count; ++r)
                results[r] = result_row(work, y + r, s.results.get() + r * work.tile.width());
            mix(work, rows, count, s, results);
            for (int r = 0; r < count; ++r) finish(work, y + r, results[r]);
        }
    }

    // Horizontal, then vertical.
    void grow_rows(const Work& work, Scratch& s) const {
        const int64_t height = work.ys.last - work.ys.first, width = work.tile.width();
        const F* mixed = work.source;
        int64_t stride = work.stride;
        if (!x_.identity) {
            for (int64_t y = 0; y < height; y += kLanes) {
                const int count = static_cast<int>(std::min<int64_t>(kLanes, height - y));
                const F* rows[kLanes];
                F* results[kLanes];
                for (int r = 0; r < kLanes; ++r) {
                    rows[r] = work.source + (r < count ? y + r : y) * work.stride;
                    results[r] = s.rows.get() + (y + r) * width;
                }
                mix(work, rows, count, s, results);
            }
            mixed = s.rows.get();
            stride = width;
        }
        for (int64_t y = work.tile.y0; y < work.tile.y1; ++y) {
            F* row = result_row(work, y, s.results.get());
            blend_row(mixed, work.ys.first, stride, y, width, row);
            finish(work, y, row);
        }
    }

    // Asks for as many input rows as these, which follow them in memory: they come while these are computed. After the
    // last rows of a plane they are the next one's.
    void ask_for_rows_after(const Work& work, InputRange rows) const {
        if (converted()) return;
        const auto begin = reinterpret_cast<uintptr_t>(work.source);
        const auto stride = static_cast<uintptr_t>(work.stride) * sizeof(F);
        const auto bytes = static_cast<uintptr_t>(work.width()) * sizeof(F);
        for (int64_t y = rows.last; y < 2 * rows.last - rows.first; ++y)
            for (uintptr_t i = 0; i < bytes; i += 64)
                __builtin_prefetch(
                    reinterpret_cast<const void*>(begin + static_cast<uintptr_t>(y - work.ys.first) * stride + i), 0,
                    2);
    }

    void blend_row(const F* rows, int64_t first, int64_t stride, int64_t y, int64_t n, F* out) const {
        const InputRange span = y_.span(y);
        blend_rows(rows + (span.first - first) * stride, stride, y_.of(y), span.last - span.first, n, out);
    }

    // The horizontal pass over up to kLanes rows.
    void mix(const Work& work, const F* const* rows, int count, Scratch& s, F* const* results) const {
        if (x_.identity) {
            for (int r = 0; r < count; ++r)
                std::memcpy(results[r], rows[r], static_cast<size_t>(work.width()) * sizeof(F));
            return;
        }
        to_columns(rows, work.width(), s.columns.get());
        blend_columns(s.columns.get(), work.xs.first, x_, work.tile.x0, work.tile.x1, s.mixed.get());
        to_rows(s.mixed.get(), work.tile.width(), count, results);
    }

    // Where a row of results is computed: in the result itself where nothing else happens to it.
    F* result_row(const Work& work, int64_t y, F* scratch) const {
        if constexpr (std::is_same_v<T, F>)
            if (finished_in_place()) return work.out + (y - work.tile.y0) * width_;
        return scratch;
    }

    void finish(const Work& work, int64_t y, const F* row) const {
        if (finished_in_place()) return;
        const int64_t at = (y - work.tile.y0) * width_ * components_;
        finish_row(row, work.tile.width(), components_, finish_, work.upstream ? work.upstream + at : nullptr,
                   work.out + at);
    }

    const T *in_, *upstream_;
    T* out_;
    int64_t planes_;
    int components_;
    Finish finish_;
    int64_t height_, width_;
    bool rows_first_;
    Table<F> y_, x_;
    int64_t tile_height_ = 0, tile_width_ = 0, input_height_ = 0, input_width_ = 0;  // the largest of a tile
};

}  // namespace

template <typename T>
void resample_cpu(const T* in, int64_t planes, int components, const Geometry& geometry, const Finish& finish,
                  const T* upstream, int threads, T* out) {
    if (planes > 0) Pass<T>(in, planes, components, geometry, finish, upstream, out).run(threads);
}

#define SARCORE_INSTANCE(T) \
    template void resample_cpu<T>(const T*, int64_t, int, const Geometry&, const Finish&, const T*, int, T*);
SARCORE_FOR_RESAMPLED(SARCORE_INSTANCE)
#undef SARCORE_INSTANCE

}  // namespace sarcore
