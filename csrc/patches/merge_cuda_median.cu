// The median over the patches that cover a pixel, on CUDA: a thread per pixel reads its values again and again, from
// the caches, instead of keeping them; with up to 16 patches it counts for each how many come before, with more it
// finds the middle bit by bit. Keys and ties as on the CPU.
#include "patches/merge_cuda.cuh"

namespace sarcore {

namespace {

template <typename K>
struct Middle {
    K low, high;
};

// key(k) of 0 <= k < n.
template <typename K, typename Key>
__device__ __forceinline__ Middle<K> by_counting(int n, const Key& key) {
    Middle<K> middle{};
    for (int k = 0; k < n; ++k) {
        const K own = key(k);
        int before = 0;
        for (int i = 0; i < n; ++i) {
            const K other = key(i);
            before += (other < own) | ((other == own) & (i < k));
        }
        if (before == (n - 1) / 2) middle.low = own;
        if (before == n / 2) middle.high = own;
    }
    return middle;
}

template <typename K, typename Key>
__device__ __forceinline__ Middle<K> by_bisection(int n, const Key& key) {
    using U = std::make_unsigned_t<K>;
    constexpr U top = U(1) << (8 * sizeof(K) - 1);
    K low = static_cast<K>(top);
    for (U bit = top; bit != 0; bit >>= 1) {
        const K tried = static_cast<K>(static_cast<U>(low) + bit);
        int below = 0;
        for (int i = 0; i < n; ++i) below += key(i) < tried;
        if (below <= (n - 1) / 2) low = tried;
    }
    int up_to = 0;
    K next = static_cast<K>(top - 1);
    for (int i = 0; i < n; ++i) {
        const K own = key(i);
        up_to += own <= low;
        next = own > low && own < next ? own : next;
    }
    return {low, up_to > n / 2 ? low : next};
}

// body(n, place, key, middle) of every pixel; place(k) is where patch k of the n that cover it holds it.
template <typename T, typename Body>
__device__ __forceinline__ void for_medians(const T* __restrict__ patches, const MergeLayout& l, MergeLaunch launch,
                                            const Body& body) {
    using F = compute_t<T>;
    for_merge_spots<1>(l, launch, [&](const MergeSpot& spot) {
        const int wide = static_cast<int>(spot.last_x - spot.first_x) + 1;
        const int n = wide * (static_cast<int>(spot.last_y - spot.first_y) + 1);
        const auto place = [&](int k) {
            return spot.in_patches(l, spot.first_y + k / wide) + (spot.first_x + k % wide) * MergeSpot::next(l);
        };
        const auto key = [&](int k) { return merge_key<F>(merge_value(patches[place(k)])); };
        const auto middle = n > 16 ? by_bisection<merge_key_t<F>>(n, key) : by_counting<merge_key_t<F>>(n, key);
        body(spot, n, place, key, middle);
    });
}

template <typename T>
__global__ void __launch_bounds__(kMergeThreads)
    median_kernel(const T* __restrict__ patches, MergeLayout l, MergeLaunch launch, T* __restrict__ out) {
    using F = compute_t<T>;
    for_medians(patches, l, launch,
                [&](const MergeSpot& spot, int n, const auto&, const auto& key, const auto& middle) {
                    bool missing = false;
                    for (int k = 0; k < n; ++k) {
                        const F value = merge_of_key<F>(key(k));
                        missing |= value != value;
                    }
                    const F value = merge_middle(merge_of_key<F>(middle.low), merge_of_key<F>(middle.high));
                    out[spot.in_result(l)] = merge_stored<T>(missing ? static_cast<F>(__builtin_nan("")) : value);
                });
}

template <typename T>
__global__ void __launch_bounds__(kMergeThreads)
    median_backward_kernel(const T* __restrict__ gradient, const T* __restrict__ patches, MergeLayout l,
                           MergeLaunch launch, T* __restrict__ out) {
    using F = compute_t<T>;
    for_medians(
        patches, l, launch, [&](const MergeSpot& spot, int n, const auto& place, const auto& key, const auto& middle) {
            int to_low = (n - 1) / 2, to_high = n / 2;
            for (int k = 0; k < n; ++k) {
                to_low -= key(k) < middle.low;
                to_high -= key(k) < middle.high;
            }
            const F upstream = merge_value(gradient[spot.in_result(l)]);
            for (int k = 0; k < n; ++k) {
                const bool is_low = key(k) == middle.low, is_high = key(k) == middle.high;
                const F share = (is_low & (to_low == 0) ? F(0.5) : F(0)) + (is_high & (to_high == 0) ? F(0.5) : F(0));
                to_low -= is_low;
                to_high -= is_high;
                out[place(k)] = merge_stored<T>(share > F(0) ? share * upstream : F(0));
            }
        });
}

}  // namespace

template <typename T>
void merge_median_cuda(const T* patches, const MergeLayout& layout, T* out, void* stream) {
    const MergeLaunch launch = merge_launch(layout, 1);
    const auto s = static_cast<cudaStream_t>(stream);
    median_kernel<<<grid_for(launch.units), kMergeThreads, 0, s>>>(patches, layout, launch, out);
    cuda_check(cudaGetLastError(), "merge_patches");
}

template <typename T>
void merge_median_backward_cuda(const T* gradient, const T* patches, const MergeLayout& layout, T* out, void* stream) {
    const MergeLaunch launch = merge_launch(layout, 1);
    const auto s = static_cast<cudaStream_t>(stream);
    median_backward_kernel<<<grid_for(launch.units), kMergeThreads, 0, s>>>(gradient, patches, layout, launch, out);
    cuda_check(cudaGetLastError(), "merge_patches_backward");
}

#define SARCORE_INSTANCE(T) template void merge_median_cuda<T>(const T*, const MergeLayout&, T*, void*);
SARCORE_FOR_MERGE_INPUTS(SARCORE_INSTANCE)
#undef SARCORE_INSTANCE
#define SARCORE_INSTANCE(T) \
    template void merge_median_backward_cuda<T>(const T*, const T*, const MergeLayout&, T*, void*);
SARCORE_FOR_MERGE_FLOATING(SARCORE_INSTANCE)
#undef SARCORE_INSTANCE

}  // namespace sarcore
