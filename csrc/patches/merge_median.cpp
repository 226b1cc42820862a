// merge_patches with mode median, on the CPU.
//
// The values become integer keys in the order of the numbers, so that the middle is one and the same whichever way it
// is found: up to 16 patches by a sorting network, more by bisection of the keys, bit by bit. One run of columns that
// the same patches cover at a time.
#include "patches/merge_median.h"

#include <limits>

#include "patches/merge_walk.h"

namespace sarcore {

namespace {

constexpr int kColumns = 256, kNetwork = 16;

// Keeps the loop around it one over patches: unrolled into the loop over columns, that would be no vector loop.
SARCORE_HD void one_by_one() { asm volatile(""); }

template <typename T, typename K>
SARCORE_HD void load_keys(const T* const* patches, int count, int n, K* keys) {
    for (int k = 0; k < count; ++k) {
        one_by_one();
        const T* const patch = patches[k];
        for (int i = 0; i < n; ++i) keys[k * kColumns + i] = merge_key(merge_value(patch[i]));
    }
}

// Odd-even transposition: the middle two rows hold the middle two keys.
template <typename K>
SARCORE_HD void sort_rows(K* keys, int count, int n) {
    for (int round = 0; round < count; ++round)
        for (int k = round % 2; k + 1 < count; k += 2) {
            one_by_one();
            K* __restrict__ a = keys + k * kColumns;
            K* __restrict__ b = a + kColumns;
            for (int i = 0; i < n; ++i) {
                const K low = a[i] < b[i] ? a[i] : b[i], high = a[i] < b[i] ? b[i] : a[i];
                a[i] = low;
                b[i] = high;
            }
        }
}

// The key of rank (count - 1) / 2: the largest number that at most so many keys are below.
template <typename K>
SARCORE_HD void bisect(const K* keys, int count, int n, K* low, K* high) {
    using U = std::make_unsigned_t<K>;
    const K rank = static_cast<K>((count - 1) / 2);
    K below[kColumns];
    std::fill_n(low, n, std::numeric_limits<K>::min());
    for (U bit = U(1) << (8 * sizeof(K) - 1); bit; bit >>= 1) {
        std::fill_n(below, n, K(0));
        for (int k = 0; k < count; ++k) {
            one_by_one();
            for (int i = 0; i < n; ++i)
                below[i] += keys[k * kColumns + i] < static_cast<K>(static_cast<U>(low[i]) + bit);
        }
        for (int i = 0; i < n; ++i) low[i] = below[i] <= rank ? static_cast<K>(static_cast<U>(low[i]) + bit) : low[i];
    }
    // The next one up: the same key where it stands often enough.
    std::fill_n(below, n, K(0));
    std::fill_n(high, n, std::numeric_limits<K>::max());
    for (int k = 0; k < count; ++k) {
        one_by_one();
        for (int i = 0; i < n; ++i) {
            const K key = keys[k * kColumns + i];
            below[i] += key <= low[i];
            high[i] = (key > low[i]) & (key < high[i]) ? key : high[i];
        }
    }
    for (int i = 0; i < n; ++i) high[i] = below[i] > count / 2 ? low[i] : high[i];
}

// The keys of the middle two. `keys` may be put into another order.
template <typename K>
SARCORE_HD void middle_of(K* keys, int count, int n, K* low, K* high) {
    if (count > kNetwork) return bisect(keys, count, n, low, high);
    sort_rows(keys, count, n);
    std::copy_n(keys + (count - 1) / 2 * kColumns, n, low);
    std::copy_n(keys + count / 2 * kColumns, n, high);
}

template <typename T, typename K>
SARCORE_HD void median_of(const T* const* patches, int count, int n, K* keys, T* __restrict__ out) {
    using F = compute_t<T>;
    K low[kColumns], high[kColumns], missing[kColumns];
    load_keys(patches, count, n, keys);
    std::fill_n(missing, n, K(0));
    for (int k = 0; k < count; ++k) {
        one_by_one();
        for (int i = 0; i < n; ++i) {
            const F value = merge_of_key<F>(keys[k * kColumns + i]);
            missing[i] |= value != value;
        }
    }
    middle_of(keys, count, n, low, high);
    for (int i = 0; i < n; ++i) {
        const F middle = merge_middle(merge_of_key<F>(low[i]), merge_of_key<F>(high[i]));
        out[i] = merge_stored<T>(missing[i] ? static_cast<F>(__builtin_nan("")) : middle);
    }
}

// The patch whose key stands at the rank takes half: among equal keys the rank counts on in the order of the patches.
template <typename T, typename K>
SARCORE_HD void slopes_of(const T* const* patches, const T* upstream, int count, int n, K* keys, K* sorted,
                          T* const* gradient) {
    using F = compute_t<T>;
    K low[kColumns], high[kColumns], to_low[kColumns], to_high[kColumns];
    load_keys(patches, count, n, keys);
    std::copy_n(keys, count * kColumns, sorted);
    middle_of(sorted, count, n, low, high);
    std::fill_n(to_low, n, static_cast<K>((count - 1) / 2));
    std::fill_n(to_high, n, static_cast<K>(count / 2));
    for (int k = 0; k < count; ++k) {
        one_by_one();
        for (int i = 0; i < n; ++i) {
            to_low[i] -= keys[k * kColumns + i] < low[i];
            to_high[i] -= keys[k * kColumns + i] < high[i];
        }
    }
    for (int k = 0; k < count; ++k) {
        one_by_one();
        T* __restrict__ out = gradient[k];
        for (int i = 0; i < n; ++i) {
            const bool is_low = keys[k * kColumns + i] == low[i], is_high = keys[k * kColumns + i] == high[i];
            const F share = (is_low & (to_low[i] == 0) ? F(0.5) : F(0)) + (is_high & (to_high[i] == 0) ? F(0.5) : F(0));
            to_low[i] -= is_low;
            to_high[i] -= is_high;
            out[i] = merge_stored<T>(share > F(0) ? share * merge_value(upstream[i]) : F(0));
        }
    }
}

}  // namespace

#define SARCORE_DEFINE(T)                                                                  \
    SARCORE_MULTIVERSION static void median_run(const T* const* patches, int count, int n, \
                                                merge_key_t<compute_t<T>>* keys, T* out) { \
        median_of(patches, count, n, keys, out);                                           \
    }
SARCORE_FOR_MERGE_INPUTS(SARCORE_DEFINE)
#undef SARCORE_DEFINE

#define SARCORE_DEFINE(T)                                                                                     \
    SARCORE_MULTIVERSION static void slopes_run(const T* const* patches, const T* upstream, int count, int n, \
                                                merge_key_t<compute_t<T>>* keys, T* const* gradient) {        \
        slopes_of(patches, upstream, count, n, keys, keys + count * kColumns, gradient);                      \
    }
SARCORE_FOR_MERGE_FLOATING(SARCORE_DEFINE)
#undef SARCORE_DEFINE

// ------ drivers

namespace {

// Calls body(stretch, offsets, keys) for every run of columns that the same patches cover; `offsets` are the places of
// these patches, and there is room for two keys of each.
template <typename F, typename Body>
void for_runs(const MergeLayout& layout, int threads, const Body& body) {
    const int64_t next_patch = layout.channels * layout.patch_size();
    const MergeAxis& x = layout.x;
    for_merge_stretches(layout, threads, [&](const MergeStretch& stretch) {
        std::vector<int64_t> offsets;
        std::vector<merge_key_t<F>> keys;
        MergeStretch run = stretch;
        for (; run.begin < stretch.end; run.begin = run.end) {
            const int64_t first = x.first(run.begin), last = x.last(run.begin), last_y = layout.y.last(run.row);
            run.end = std::min({stretch.end, run.begin + kColumns, first * x.stride + x.size});
            if (last + 1 < x.count) run.end = std::min(run.end, (last + 1) * x.stride);
            offsets.clear();
            for (int64_t ky = layout.y.first(run.row); ky <= last_y; ++ky) {
                const int64_t patch_row =
                    layout.patch_row(ky, run.channel) + (run.row - ky * layout.y.stride) * x.size + run.begin;
                for (int64_t kx = first; kx <= last; ++kx) offsets.push_back(patch_row + kx * (next_patch - x.stride));
            }
            keys.resize(std::max(keys.size(), 2 * offsets.size() * kColumns));
            body(run, offsets, keys.data());
        }
    });
}

template <typename T>
std::vector<T*> places(T* patches, const std::vector<int64_t>& offsets) {
    std::vector<T*> all;
    for (const int64_t offset : offsets) all.push_back(patches + offset);
    return all;
}

}  // namespace

template <typename T>
void merge_median_cpu(const T* patches, const MergeLayout& layout, int threads, T* out) {
    for_runs<compute_t<T>>(layout, threads, [&](const MergeStretch& run, const auto& offsets, auto* keys) {
        const std::vector<const T*> values = places(patches, offsets);
        median_run(values.data(), static_cast<int>(values.size()), run.size(), keys, out + run.of_result(layout));
    });
}

template <typename T>
void merge_median_backward_cpu(const T* gradient, const T* patches, const MergeLayout& layout, int threads, T* out) {
    for_runs<compute_t<T>>(layout, threads, [&](const MergeStretch& run, const auto& offsets, auto* keys) {
        const std::vector<const T*> values = places(patches, offsets);
        const std::vector<T*> slopes = places(out, offsets);
        slopes_run(values.data(), gradient + run.of_result(layout), static_cast<int>(values.size()), run.size(), keys,
                   slopes.data());
    });
}

#define SARCORE_INSTANCE(T) template void merge_median_cpu<T>(const T*, const MergeLayout&, int, T*);
SARCORE_FOR_MERGE_INPUTS(SARCORE_INSTANCE)
#undef SARCORE_INSTANCE
#define SARCORE_INSTANCE(T) template void merge_median_backward_cpu<T>(const T*, const T*, const MergeLayout&, int, T*);
SARCORE_FOR_MERGE_FLOATING(SARCORE_INSTANCE)
#undef SARCORE_INSTANCE

}  // namespace sarcore
