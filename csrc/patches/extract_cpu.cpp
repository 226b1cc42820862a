// extract_patches on the CPU.
//
// A task is a band of rows of the padded scene. A row is converted once (radiometry, cast) into a buffer that stays in
// the cache, padding included, and its segments are copied into every patch that covers them. Floor: one read of the
// scene and one write of the patches.
#include <atomic>
#include <cstring>
#include <memory>

#include "common/geometry.h"
#include "common/parallel.h"
#include "common/stream.h"
#include "patches/extract_cover.h"
#include "radiometry/blocks.h"

namespace sarcore {

namespace {

constexpr int64_t kBand = 32;  // rows of a task

template <int64_t size>
void gather_elements(const unsigned char* row, int64_t stride, int64_t first, int n, int64_t width, Pad pad,
                     unsigned char* out) {
    for (int64_t i = 0; i < n; ++i)
        memcpy(out + i * size, row + source_of(first + i, width, pad) * stride * size, size);
}

// Elements first .. first + n of the padded row, side by side.
void gather(int64_t size, const unsigned char* row, int64_t stride, int64_t first, int n, int64_t width, Pad pad,
            unsigned char* out) {
    if (size == 1) return gather_elements<1>(row, stride, first, n, width, pad, out);
    if (size == 2) return gather_elements<2>(row, stride, first, n, width, pad, out);
    if (size == 4) return gather_elements<4>(row, stride, first, n, width, pad, out);
    gather_elements<8>(row, stride, first, n, width, pad, out);
}

// One band: the buffers, and what happens to a row.
class Band {
  public:
    Band(const Cover& cover, const SceneView& scene, const Conversion& conversion, unsigned char* out,
         std::atomic<int64_t>* counts)
        : l_(cover.layout()),
          cover_(cover),
          scene_(scene),
          c_(conversion),
          out_(out),
          counts_(counts),
          first_(cover.columns().first),
          streamed_(l_.count * l_.channels * l_.h * l_.w * c_.out_size >= kStreamBytes),
          spans_(cover),
          row_(new unsigned char[static_cast<size_t>((cover.columns().last - first_) * c_.out_size)]) {
        if (counts_ && c_.mark) {
            data_.reset(new uint8_t[static_cast<size_t>(l_.width)]);
            sums_.reset(new int64_t[static_cast<size_t>(l_.width + 1)]);
        }
    }

    void write_row(int64_t y) {
        const Span covering = cover_.covering(y, y + 1);
        if (covering.first >= covering.last) return;
        const std::vector<Span>& spans = spans_.of(covering);
        const int64_t source = source_of(y, l_.height, l_.pad);
        for (int64_t channel = 0; channel < l_.channels; ++channel) {
            for (const Span& span : spans) convert(channel, source, span);
            const int64_t bytes = l_.w * c_.out_size;
            cover_.for_patches(covering, [&](int64_t row, int64_t column, int64_t number) {
                const int64_t line = (number * l_.channels + channel) * l_.h + y - row;
                if (streamed_)
                    stream_bytes(out_ + line * bytes, at(column), bytes);
                else
                    memcpy(out_ + line * bytes, at(column), static_cast<size_t>(bytes));
            });
        }
        if (counts_ && y >= 0 && y < l_.height) count(y, covering, spans);
    }

    const Seen& seen() const { return seen_; }

  private:
    unsigned char* at(int64_t column) { return row_.get() + (column - first_) * c_.out_size; }
    const unsigned char* scene_row(int64_t channel, int64_t y) const {
        return scene_.data + (channel * scene_.channel + y * scene_.row) * c_.in_size;
    }

    void convert(int64_t channel, int64_t source, const Span& span) {
        if (source < 0) return fill(span.first, span.last);
        const unsigned char* row = scene_row(channel, source);
        const int64_t begin = std::clamp<int64_t>(0, span.first, span.last);
        const int64_t end = std::clamp<int64_t>(l_.width, span.first, span.last);
        pad(row, span.first, begin);
        pad(row, end, span.last);
        if (scene_.column == 1)
            c_.convert(row + begin * c_.in_size, end - begin, at(begin), seen_);
        else
            convert_gathered(row, begin, end);
    }

    void pad(const unsigned char* row, int64_t begin, int64_t end) {
        if (l_.pad == Pad::constant) return fill(begin, end);
        convert_gathered(row, begin, end);
    }

    void convert_gathered(const unsigned char* row, int64_t begin, int64_t end) {
        alignas(64) unsigned char elements[kBlock * 8];
        for (int64_t x = begin; x < end; x += kBlock) {
            const int n = static_cast<int>(std::min<int64_t>(kBlock, end - x));
            gather(c_.in_size, row, scene_.column, x, n, l_.width, l_.pad, elements);
            c_.convert(elements, n, at(x), seen_);
        }
    }

    void fill(int64_t begin, int64_t end) {
        for (int64_t x = begin; x < end; ++x) memcpy(at(x), c_.padding, static_cast<size_t>(c_.out_size));
    }

    // Pixels with data of this row, added to the patches that cover it. Integers: any order gives the same sum.
    void count(int64_t y, Span covering, const std::vector<Span>& spans) {
        if (c_.mark) mark(y, spans);
        cover_.for_patches(covering, [&](int64_t, int64_t column, int64_t number) {
            const int64_t begin = std::clamp<int64_t>(column, 0, l_.width);
            const int64_t end = std::clamp<int64_t>(column + l_.w, 0, l_.width);
            counts_[number].fetch_add(c_.mark ? sums_[end] - sums_[begin] : end - begin, std::memory_order_relaxed);
        });
    }

    void mark(int64_t y, const std::vector<Span>& spans) {
        memset(data_.get(), 0, static_cast<size_t>(l_.width));
        for (const Span& span : spans) {
            const int64_t begin = std::clamp<int64_t>(span.first, 0, l_.width);
            const int64_t end = std::clamp<int64_t>(span.last, 0, l_.width);
            memset(data_.get() + begin, 1, static_cast<size_t>(end - begin));
            for (int64_t channel = 0; channel < l_.channels; ++channel) mark_channel(scene_row(channel, y), begin, end);
        }
        sums_[0] = 0;
        for (int64_t x = 0; x < l_.width; ++x) sums_[x + 1] = sums_[x] + data_[x];
    }

    void mark_channel(const unsigned char* row, int64_t begin, int64_t end) {
        if (scene_.column == 1) return c_.mark(row + begin * c_.in_size, end - begin, data_.get() + begin);
        alignas(64) unsigned char elements[kBlock * 8];
        for (int64_t x = begin; x < end; x += kBlock) {
            const int n = static_cast<int>(std::min<int64_t>(kBlock, end - x));
            gather(c_.in_size, row, scene_.column, x, n, l_.width, l_.pad, elements);
            c_.mark(elements, n, data_.get() + x);
        }
    }

    const PatchLayout& l_;
    const Cover& cover_;
    const SceneView scene_;
    const Conversion& c_;
    unsigned char* out_;
    std::atomic<int64_t>* counts_;
    const int64_t first_;
    const bool streamed_;
    Spans spans_;
    std::unique_ptr<unsigned char[]> row_;
    std::unique_ptr<uint8_t[]> data_;
    std::unique_ptr<int64_t[]> sums_;
    Seen seen_;
};

}  // namespace

Seen extract_cpu(const PatchLayout& layout, const SceneView& scene, const Conversion& conversion, int threads,
                 unsigned char* out, int64_t* counts) {
    if (layout.count == 0) return {};
    const Cover cover(layout);
    const Span rows = cover.rows();
    const int64_t tasks = (rows.last - rows.first + kBand - 1) / kBand;
    const int64_t elements = layout.count * layout.channels * layout.h * layout.w;
    std::vector<std::atomic<int64_t>> shared(static_cast<size_t>(counts ? layout.count : 0));
    std::vector<Seen> seen(static_cast<size_t>(tasks));
    parallel_for(tasks, elements < kSerialPixels ? 1 : threads, [&](int64_t task) {
        Band band(cover, scene, conversion, out, counts ? shared.data() : nullptr);
        const int64_t first = rows.first + task * kBand, last = std::min(rows.last, first + kBand);
        for (int64_t y = first; y < last; ++y) band.write_row(y);
        finish_streaming();
        seen[static_cast<size_t>(task)] = band.seen();
    });
    for (size_t k = 0; k < shared.size(); ++k) counts[k] += shared[k].load(std::memory_order_relaxed);
    Seen total;
    for (const Seen& each : seen) total.add(each);
    return total;
}

}  // namespace sarcore
