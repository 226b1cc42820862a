// Cutting patches out of a scene: the geometry, once for the CPU and CUDA back ends, and what they offer.
//
//   patch k, pixel (y, x) = scene(s(row_k + y), s(column_k + x)) with s the padding rule of an axis:
//   reflect: mirrored at the border pixel, which stands once, as often as needed;  edge: the border pixel;
//   constant: no pixel, a constant.
//   Gradient of a pixel: the sum over all places of the padded scene where it stands, rows and then columns ascending,
//   at each place over the patches that cover it, in the order of their rows: one order for both back ends.
#pragma once

#include <functional>
#include <vector>

#include "radiometry/kernels.h"

namespace sarcore {

enum class Pad { reflect, edge, constant };

struct PatchLayout {
    int64_t channels, height, width;  // of the scene
    int64_t count, h, w;              // patches and their sides
    int64_t down, right, across;      // grid: strides, and patches along the width
    const int64_t* index;             // (count, 2) rows and columns of the upper left pixels, or null: the grid
    Pad pad;

    SARCORE_HD int64_t row(int64_t k) const { return index ? index[2 * k] : k / across * down; }
    SARCORE_HD int64_t column(int64_t k) const { return index ? index[2 * k + 1] : k % across * right; }
};

// The pixel that stands at place p of a padded axis, -1 for none.
SARCORE_HD int64_t source_of(int64_t p, int64_t length, Pad pad) {
    if (p >= 0 && p < length) return p;
    if (pad == Pad::constant) return -1;
    if (pad == Pad::edge || length == 1) return p < 0 ? 0 : length - 1;
    const int64_t period = 2 * (length - 1);
    const int64_t q = (p % period + period) % period;
    return q < length ? q : period - q;
}

// body(p) for every place p in [first, last) where pixel s stands, ascending.
template <typename Body>
SARCORE_HD void for_places(int64_t s, int64_t length, Pad pad, int64_t first, int64_t last, const Body& body) {
    int64_t p = s, end = s + 1, gap = 1, next_gap = 1;
    if (pad == Pad::reflect && length > 1) {
        const int64_t period = 2 * (length - 1);
        const bool once = s == 0 || s == length - 1;  // in a period; the others come back mirrored
        p = (first / period - 1) * period + s;
        end = last;
        gap = once ? period : period - 2 * s;
        next_gap = once ? period : 2 * s;
    } else if (pad != Pad::constant) {
        if (s == 0) p = first;
        if (s == length - 1) end = last;
    }
    while (p < end && p < last) {
        if (p >= first) body(p);
        p += gap;
        const int64_t other = gap;
        gap = next_gap;
        next_gap = other;
    }
}

// ------ CPU: drivers that move bytes, and the arithmetic handed to them

// The scene as it lies in memory, strides in elements: rows of a memory-mapped file are read where they are.
struct SceneView {
    const unsigned char* data;
    int64_t channel, row, column;
};

// How elements of the scene become elements of the result; `pixels` of them, about.
struct Conversion {
    int64_t in_size, out_size;
    std::function<void(const void* x, int64_t n, void* out, Seen& seen)> convert;
    std::function<void(const void* x, int64_t n, uint8_t* data)> mark;  // data[i] &= x[i] is data; empty: all are
    unsigned char padding[8];                                           // one element for Pad::constant
};
template <typename T, typename Out>
Conversion conversion_by_cast();
template <typename T, typename Out>
Conversion conversion_by_radiometry(const Radiometry& radiometry, Pad pad, int64_t pixels);

// What was seen counts padding and repeated rows too. `counts`, pixels with data of each patch, are added to; may be
// null.
Seen extract_cpu(const PatchLayout& layout, const SceneView& scene, const Conversion& conversion, int threads,
                 unsigned char* out, int64_t* counts);

// ------ CUDA: `order` holds the numbers of the patches of an index sorted by rows. Without it every patch is converted
// by itself, which positions that were never checked, or are few, ask for.

// Types are values here, not template arguments: a kernel for each pair of them would take minutes to compile.

void extract_cuda(const PatchLayout& layout, const int64_t* order, DType type, const void* scene,
                  const Radiometry* radiometry, DType out_type, void* out, unsigned long long* counts, int device,
                  void* stream);

// ------ the gradient. `scene` is read for the slopes of a radiometry alone; both may be null.

template <typename T, typename G>
void extract_backward_cpu(const PatchLayout& layout, const G* gradient, const T* scene, const Radiometry* radiometry,
                          int threads, T* out);
void extract_backward_cuda(const PatchLayout& layout, const int64_t* order, DType gradient_type, const void* gradient,
                           DType type, const void* scene, const Radiometry* radiometry, void* out, int device,
                           void* stream);

}  // namespace sarcore

// Casts that lose nothing, and those to a floating type, which was asked for by name.
#define SARCORE_FOR_CASTS_TO_FLOATING(APPLY, T) \
    APPLY(T, Half)                              \
    APPLY(T, BFloat16)                          \
    APPLY(T, float)                             \
    APPLY(T, double)
#define SARCORE_FOR_CASTS(APPLY)                   \
    SARCORE_FOR_CASTS_TO_FLOATING(APPLY, uint8_t)  \
    SARCORE_FOR_CASTS_TO_FLOATING(APPLY, uint16_t) \
    SARCORE_FOR_CASTS_TO_FLOATING(APPLY, int16_t)  \
    SARCORE_FOR_CASTS_TO_FLOATING(APPLY, Half)     \
    SARCORE_FOR_CASTS_TO_FLOATING(APPLY, BFloat16) \
    SARCORE_FOR_CASTS_TO_FLOATING(APPLY, float)    \
    SARCORE_FOR_CASTS_TO_FLOATING(APPLY, double)   \
    APPLY(uint8_t, uint8_t)                        \
    APPLY(uint8_t, uint16_t)                       \
    APPLY(uint8_t, int16_t)                        \
    APPLY(uint8_t, int32_t)                        \
    APPLY(uint8_t, int64_t)                        \
    APPLY(uint16_t, uint16_t)                      \
    APPLY(uint16_t, int32_t)                       \
    APPLY(uint16_t, int64_t)                       \
    APPLY(int16_t, int16_t)                        \
    APPLY(int16_t, int32_t)                        \
    APPLY(int16_t, int64_t)                        \
    APPLY(Complex64, Complex64)
#define SARCORE_FOR_GRADIENTS(APPLY)      \
    SARCORE_FOR_FLOATING(APPLY, Half)     \
    SARCORE_FOR_FLOATING(APPLY, BFloat16) \
    SARCORE_FOR_FLOATING(APPLY, float)    \
    SARCORE_FOR_FLOATING(APPLY, double)   \
    APPLY(Complex64, Half)                \
    APPLY(Complex64, BFloat16)            \
    APPLY(Complex64, float)               \
    APPLY(Complex64, double)              \
    APPLY(Complex64, Complex64)
