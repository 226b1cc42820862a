// merge_patches: the arithmetic, once for the CPU and CUDA back ends, and what they offer to the bindings.
//
// Gather form. A pixel is covered by the patches k_y = first(y) .. last(y) times k_x = first(x) .. last(x); over these,
// row by row,
//
//   mean    sum of w p over the sum of w, kept within the values that were averaged: equal values come out as they are,
//           and infinity stays infinity. w = w_y w_x and the sum of w is the product of two 1-D sums, or w and its sum
//           are those of a 2-D window. A patch of weight 0 does not count at all, whatever it holds.
//   max min of values, median of keys (the order of the numbers, with -0 before +0); NaN, where a patch holds it
//
// An axis counts elements, not pixels: complex patches come as floats with twice the columns.
#pragma once

#include <string>
#include <type_traits>

#include "common/dtype.h"

namespace sarcore {

enum class MergeMode { mean, max, min, median };

// Patch k covers k stride .. k stride + size - 1. Lengths fit 32 bits, in which a GPU divides several times faster.
struct MergeAxis {
    int64_t length, size, stride, count;
    SARCORE_HD int64_t first(int64_t at) const {
        return at < size ? 0 : static_cast<uint32_t>(at - size) / static_cast<uint32_t>(stride) + int64_t{1};
    }
    SARCORE_HD int64_t last(int64_t at) const {
        const int64_t k = static_cast<uint32_t>(at) / static_cast<uint32_t>(stride);
        return k < count ? k : count - 1;
    }
};

// Rows row_begin .. row_end - 1 of the scene, from `held` rows of patches in a ring: patch row k lies at
// (k - first_patch_row) modulo held.
struct MergeLayout {
    MergeAxis y, x;
    int64_t channels, first_patch_row, held, row_begin, row_end;
    MergeMode mode;

    SARCORE_HD int64_t patch_size() const { return y.size * x.size; }
    SARCORE_HD int64_t patches() const { return held * x.count * channels * patch_size(); }  // elements
    SARCORE_HD int64_t results() const { return channels * (row_end - row_begin) * x.length; }
    // Of channel c of the first patch in patch row k_y; the next patch is channels * patch_size() further.
    SARCORE_HD int64_t patch_row(int64_t k_y, int64_t c) const {
        const auto slot = static_cast<uint32_t>(k_y - first_patch_row) % static_cast<uint32_t>(held);
        return (slot * x.count * channels + c) * patch_size();
    }
};

// 1-D windows, or a 2-D one, beside which both are ones.
template <typename F>
struct MergeWindow {
    const F* y;
    const F* x;
    const F* grid;
};

// ------ elements

SARCORE_HD float merge_value(int16_t v) { return static_cast<float>(v); }
template <typename T>
SARCORE_HD compute_t<T> merge_value(T v) {
    return widen(v);
}

// Codes are rounded to nearest, ties to even; |v| < 2^22.
template <typename T>
SARCORE_HD T merge_stored(compute_t<T> v) {
    if constexpr (std::is_integral_v<T>) {
        const float code = (v + 0x1.8p23f) - 0x1.8p23f;
        return static_cast<T>(static_cast<int32_t>(v == v ? code : 0.0f));
    } else {
        return narrow<T>(v);
    }
}

// ------ mean

// Patches are taken in pairs, one below the other: sum += w_x (w_y p + w_y' p'), with a 2-D window sum += w p + w' p'.
template <typename F>
struct MergeMean {
    F sum = -F(0);  // the zero that leaves -0 what it is
    F low = static_cast<F>(__builtin_huge_val()), high = -static_cast<F>(__builtin_huge_val());
    F pair = -F(0);

    // `positive`: no weight is 0, so that it need not be asked.
    template <bool positive>
    SARCORE_HD void take(F value, F weight, F weight_x) {
        const bool counts = positive || ((weight > F(0)) & (weight_x > F(0)));
        pair = pair + (counts ? weight * value : -F(0));
        low = counts & (value < low) ? value : low;
        high = counts & (value > high) ? value : high;
    }
    SARCORE_HD void add(F weight_x) {
        sum = sum + weight_x * pair;
        pair = -F(0);
    }
    SARCORE_HD F over(F total) const {
        F mean = sum / total;
        mean = mean < low ? low : mean;
        return mean > high ? high : mean;  // NaN stays NaN
    }
};

// What a patch gets of the gradient of the mean.
template <typename F>
SARCORE_HD F merge_slope(F weight, F total, F upstream) {
    return weight > F(0) ? weight / total * upstream : F(0);
}

// ------ max, min

// Whether a value takes the place of the best so far: the first of equal ones stays, and the first NaN.
template <MergeMode mode, typename F>
SARCORE_HD bool merge_replaces(F value, F best) {
    const bool better = mode == MergeMode::max ? value > best : value < best;
    return better | ((value != value) & (best == best));
}

// ------ median

template <typename F>
using merge_key_t = std::conditional_t<std::is_same_v<F, double>, int64_t, int32_t>;

// Numbers in the order of integers.
template <typename K>
SARCORE_HD K merge_ordered(K bits) {
    constexpr K magnitude = static_cast<K>(~std::make_unsigned_t<K>{0} >> 1);
    return bits ^ (bits < 0 ? magnitude : K(0));
}
template <typename F>
SARCORE_HD merge_key_t<F> merge_key(F v) {
    return merge_ordered(bit_cast<merge_key_t<F>>(v));
}
template <typename F>
SARCORE_HD F merge_of_key(merge_key_t<F> key) {
    return bit_cast<F>(merge_ordered(key));
}

// The mean of the middle two, which may be one and the same.
template <typename F>
SARCORE_HD F merge_middle(F low, F high) {
    return low == high ? low : (low + high) / F(2);
}

// ------ back ends

template <typename T>
void merge_patches_cpu(const T* patches, const MergeWindow<compute_t<T>>& window, const MergeLayout& layout,
                       int threads, T* out);
// `patches` is read for max, min and median alone. Every element of `out` is written.
template <typename T>
void merge_patches_backward_cpu(const T* gradient, const T* patches, const MergeWindow<compute_t<T>>& window,
                                const MergeLayout& layout, int threads, T* out);
template <typename T>
void merge_patches_cuda(const T* patches, const MergeWindow<compute_t<T>>& window, const MergeLayout& layout, T* out,
                        int device, void* stream);
template <typename T>
void merge_patches_backward_cuda(const T* gradient, const T* patches, const MergeWindow<compute_t<T>>& window,
                                 const MergeLayout& layout, T* out, int device, void* stream);

}  // namespace sarcore

#define SARCORE_FOR_MERGE_FLOATING(APPLY) \
    APPLY(Half)                           \
    APPLY(BFloat16)                       \
    APPLY(float)                          \
    APPLY(double)
#define SARCORE_FOR_MERGE_INPUTS(APPLY) \
    SARCORE_FOR_MERGE_FLOATING(APPLY)   \
    APPLY(uint8_t)                      \
    APPLY(uint16_t)                     \
    APPLY(int16_t)
