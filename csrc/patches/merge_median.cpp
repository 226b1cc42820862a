// merge_patches with mode median, on the CPU.
//
// The values become integer keys in the order of the numbers, so that the middle is one and the same whichever way it
// is found: up to 16 patches by a sorting network, more by bisection of the keys, bit by bit.
#include "patches/merge_median.h"

#include <limits>

namespace sarcore {

namespace {

constexpr int kNetwork = 16;

template <typename T, typename F, typename K>
SARCORE_HD void load_keys(const MergeTerm<const T, F>* terms, int count, int n, K* keys) {
    for (int k = 0; k < count; ++k)
        for (int i = 0; i < n; ++i) keys[k * kMergeBlock + i] = merge_key<F>(merge_value(terms[k].patch[i]));
}

// Odd-even transposition: the middle two rows hold the middle two keys.
template <typename K>
SARCORE_HD void sort_rows(K* keys, int count, int n) {
    for (int round = 0; round < count; ++round)
        for (int k = round % 2; k + 1 < count; k += 2) {
            K* __restrict__ a = keys + k * kMergeBlock;
            K* __restrict__ b = a + kMergeBlock;
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
    K below[kMergeBlock];
    std::fill_n(low, n, std::numeric_limits<K>::min());
    for (U bit = U(1) << (8 * sizeof(K) - 1); bit; bit >>= 1) {
        std::fill_n(below, n, K(0));
        for (int k = 0; k < count; ++k)
            for (int i = 0; i < n; ++i)
                below[i] += keys[k * kMergeBlock + i] < static_cast<K>(static_cast<U>(low[i]) + bit);
        for (int i = 0; i < n; ++i) low[i] = below[i] <= rank ? static_cast<K>(static_cast<U>(low[i]) + bit) : low[i];
    }
    // The next one up: the same key where it stands often enough.
    std::fill_n(below, n, K(0));
    std::fill_n(high, n, std::numeric_limits<K>::max());
    for (int k = 0; k < count; ++k)
        for (int i = 0; i < n; ++i) {
            const K key = keys[k * kMergeBlock + i];
            below[i] += key <= low[i];
            high[i] = (key > low[i]) & (key < high[i]) ? key : high[i];
        }
    for (int i = 0; i < n; ++i) high[i] = below[i] > count / 2 ? low[i] : high[i];
}

// The keys of the middle two. `keys` may be put into another order.
template <typename K>
SARCORE_HD void middle_of(K* keys, int count, int n, K* low, K* high) {
    if (count > kNetwork) return bisect(keys, count, n, low, high);
    sort_rows(keys, count, n);
    std::copy_n(keys + (count - 1) / 2 * kMergeBlock, n, low);
    std::copy_n(keys + count / 2 * kMergeBlock, n, high);
}

template <typename T, typename F>
SARCORE_HD void median_of(const MergeTerm<const T, F>* terms, int count, int n, merge_key_t<F>* keys,
                          T* __restrict__ out) {
    using K = merge_key_t<F>;
    K low[kMergeBlock], high[kMergeBlock], missing[kMergeBlock];
    load_keys(terms, count, n, keys);
    std::fill_n(missing, n, K(0));
    for (int k = 0; k < count; ++k)
        for (int i = 0; i < n; ++i) {
            const F value = merge_of_key<F>(keys[k * kMergeBlock + i]);
            missing[i] |= value != value;
        }
    middle_of(keys, count, n, low, high);
    for (int i = 0; i < n; ++i) {
        const F middle = merge_middle(merge_of_key<F>(low[i]), merge_of_key<F>(high[i]));
        out[i] = merge_stored<T>(missing[i] ? static_cast<F>(__builtin_nan("")) : middle);
    }
}

// The patch whose key stands at the rank takes half: among equal keys the rank counts on in the order of the patches.
template <typename T, typename F>
SARCORE_HD void median_backward_of(const MergeTerm<const T, F>* terms, const T* upstream, int count, int n,
                                   merge_key_t<F>* keys, merge_key_t<F>* sorted, T* const* gradient) {
    using K = merge_key_t<F>;
    K low[kMergeBlock], high[kMergeBlock], to_low[kMergeBlock], to_high[kMergeBlock];
    load_keys(terms, count, n, keys);
    std::copy_n(keys, count * kMergeBlock, sorted);
    middle_of(sorted, count, n, low, high);
    std::fill_n(to_low, n, static_cast<K>((count - 1) / 2));
    std::fill_n(to_high, n, static_cast<K>(count / 2));
    for (int k = 0; k < count; ++k)
        for (int i = 0; i < n; ++i) {
            to_low[i] -= keys[k * kMergeBlock + i] < low[i];
            to_high[i] -= keys[k * kMergeBlock + i] < high[i];
        }
    for (int k = 0; k < count; ++k) {
        T* __restrict__ out = gradient[k];
        for (int i = 0; i < n; ++i) {
            const bool is_low = keys[k * kMergeBlock + i] == low[i], is_high = keys[k * kMergeBlock + i] == high[i];
            const F share = (is_low & (to_low[i] == 0) ? F(0.5) : F(0)) + (is_high & (to_high[i] == 0) ? F(0.5) : F(0));
            to_low[i] -= is_low;
            to_high[i] -= is_high;
            out[i] = merge_stored<T>(share > F(0) ? share * merge_value(upstream[i]) : F(0));
        }
    }
}

}  // namespace

#define SARCORE_DEFINE(T)                                                                                          \
    SARCORE_MULTIVERSION static void median_block(const MergeTerm<const T, compute_t<T>>* terms, int count, int n, \
                                                  merge_key_t<compute_t<T>>* keys, T* out) {                       \
        median_of(terms, count, n, keys, out);                                                                     \
    }
SARCORE_FOR_MERGE_INPUTS(SARCORE_DEFINE)
#undef SARCORE_DEFINE

#define SARCORE_DEFINE(T)                                                                         \
    SARCORE_MULTIVERSION static void median_backward_block(                                       \
        const MergeTerm<const T, compute_t<T>>* terms, const T* upstream, int count, int n,       \
        merge_key_t<compute_t<T>>* keys, merge_key_t<compute_t<T>>* sorted, T* const* gradient) { \
        median_backward_of(terms, upstream, count, n, keys, sorted, gradient);                    \
    }
SARCORE_FOR_MERGE_FLOATING(SARCORE_DEFINE)
#undef SARCORE_DEFINE

template <typename T, typename F>
void merge_median(const MergeTerm<const T, F>* terms, int count, int n, T* out) {
    std::vector<merge_key_t<F>> keys(static_cast<size_t>(count) * kMergeBlock);
    median_block(terms, count, n, keys.data(), out);
}

template <typename T, typename F>
void merge_median_backward(const MergeTerm<const T, F>* terms, const T* upstream, int count, int n,
                           T* const* gradient) {
    std::vector<merge_key_t<F>> keys(2 * static_cast<size_t>(count) * kMergeBlock);
    median_backward_block(terms, upstream, count, n, keys.data(), keys.data() + keys.size() / 2, gradient);
}

#define SARCORE_INSTANCE(T) \
    template void merge_median<T, compute_t<T>>(const MergeTerm<const T, compute_t<T>>*, int, int, T*);
SARCORE_FOR_MERGE_INPUTS(SARCORE_INSTANCE)
#undef SARCORE_INSTANCE
#define SARCORE_INSTANCE(T)                                                                                           \
    template void merge_median_backward<T, compute_t<T>>(const MergeTerm<const T, compute_t<T>>*, const T*, int, int, \
                                                         T* const*);
SARCORE_FOR_MERGE_FLOATING(SARCORE_INSTANCE)
#undef SARCORE_INSTANCE

}  // namespace sarcore
