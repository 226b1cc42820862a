// merge_patches on CUDA: mean, max and min, and their gradients.
//
// Gather: a thread reads its elements from every patch that covers them and writes them once; weights come through the
// first-level cache, their sums are added up on the way. Backward the same threads write to the same places. No
// atomics, no buffer, nothing shared. Floor: the patches and the scene once each.
#include "patches/merge_cuda.cuh"

namespace sarcore {

// ------ kernels

namespace {

template <typename T, int lanes>
__device__ __forceinline__ MergeLanes<T, lanes> all(T value) {
    MergeLanes<T, lanes> same;
#pragma unroll
    for (int e = 0; e < lanes; ++e) same.values[e] = value;
    return same;
}

template <typename T, int lanes>
__device__ __forceinline__ void accumulate(MergeLanes<T, lanes>& sum, const MergeLanes<T, lanes>& part) {
#pragma unroll
    for (int e = 0; e < lanes; ++e) sum.values[e] = sum.values[e] + part.values[e];
}

// The sums of the weights of a spot, in the order of the CPU.
template <int lanes, typename F>
__device__ __forceinline__ MergeLanes<F, lanes> totals_of(const MergeSpot& spot, const MergeWindow<F>& window,
                                                          const MergeLayout& l) {
    auto total = all<F, lanes>(F(0));
    if (window.grid) {
        for (int64_t ky = spot.first_y; ky <= spot.last_y; ky += 2)
            for (int64_t kx = spot.first_x; kx <= spot.last_x; ++kx) {
                const int64_t at = spot.in_window(l, ky) * l.x.size + spot.column - kx * l.x.stride;
                accumulate(total, merge_load<lanes>(window.grid + at));
                if (ky < spot.last_y) accumulate(total, merge_load<lanes>(window.grid + at - l.y.stride * l.x.size));
            }
        return total;
    }
    F total_y = F(0);
    for (int64_t ky = spot.first_y; ky <= spot.last_y; ++ky) total_y = total_y + window.y[spot.in_window(l, ky)];
    for (int64_t kx = spot.first_x; kx <= spot.last_x; ++kx)
        accumulate(total, merge_load<lanes>(window.x + spot.column - kx * l.x.stride));
#pragma unroll
    for (int e = 0; e < lanes; ++e) total.values[e] = total_y * total.values[e];
    return total;
}

// The weights of a patch at a spot but for those along x, which with a 2-D window are 1.
template <int lanes, typename F>
__device__ __forceinline__ MergeLanes<F, lanes> weights_of(const MergeSpot& spot, const MergeWindow<F>& window,
                                                           const MergeLayout& l, int64_t ky, int64_t kx) {
    const int64_t j = spot.in_window(l, ky);
    if (!window.grid) return all<F, lanes>(window.y[j]);
    return merge_load<lanes>(window.grid + j * l.x.size + spot.column - kx * l.x.stride);
}

template <int lanes, typename T, typename F>
__device__ __forceinline__ void take(const T* __restrict__ patch, const MergeLanes<F, lanes>& weights,
                                     const MergeLanes<F, lanes>& along, MergeMean<F> (&means)[lanes]) {
    const auto values = merge_load<lanes>(patch);
#pragma unroll
    for (int e = 0; e < lanes; ++e)
        means[e].template take<false>(merge_value(values.values[e]), weights.values[e], along.values[e]);
}

template <int lanes, typename T, typename F>
__global__ void __launch_bounds__(kMergeThreads) mean_kernel(const T* __restrict__ patches, MergeWindow<F> window,
                                                             MergeLayout l, MergeLaunch launch, T* __restrict__ out) {
    const int64_t next = MergeSpot::next(l);
    for_merge_spots<lanes>(l, launch, [&](const MergeSpot& spot) {
        MergeMean<F> means[lanes];
        for (int64_t ky = spot.first_y; ky <= spot.last_y; ky += 2) {
            const bool two = ky < spot.last_y;
            const T* const upper = patches + spot.in_patches(l, ky);
            const T* const lower = two ? patches + spot.in_patches(l, ky + 1) : upper;
            for (int64_t kx = spot.first_x; kx <= spot.last_x; ++kx) {
                const auto along = merge_load<lanes>(window.x + spot.column - kx * l.x.stride);
                take<lanes>(upper + kx * next, weights_of<lanes>(spot, window, l, ky, kx), along, means);
                if (two) take<lanes>(lower + kx * next, weights_of<lanes>(spot, window, l, ky + 1, kx), along, means);
#pragma unroll
                for (int e = 0; e < lanes; ++e) means[e].add(along.values[e]);
            }
        }
        const auto total = totals_of<lanes>(spot, window, l);
        MergeLanes<T, lanes> result;
#pragma unroll
        for (int e = 0; e < lanes; ++e) result.values[e] = merge_stored<T>(means[e].over(total.values[e]));
        merge_store<lanes>(out + spot.in_result(l), result);
    });
}

template <int lanes, typename T, typename F>
__global__ void __launch_bounds__(kMergeThreads)
    mean_backward_kernel(const T* __restrict__ gradient, MergeWindow<F> window, MergeLayout l, MergeLaunch launch,
                         T* __restrict__ out) {
    for_merge_spots<lanes>(l, launch, [&](const MergeSpot& spot) {
        const auto total = totals_of<lanes>(spot, window, l);
        const auto upstream = merge_load<lanes>(gradient + spot.in_result(l));
        for (int64_t ky = spot.first_y; ky <= spot.last_y; ++ky)
            for (int64_t kx = spot.first_x; kx <= spot.last_x; ++kx) {
                const auto along = merge_load<lanes>(window.x + spot.column - kx * l.x.stride);
                const auto weights = weights_of<lanes>(spot, window, l, ky, kx);
                MergeLanes<T, lanes> slope;
#pragma unroll
                for (int e = 0; e < lanes; ++e)
                    slope.values[e] = merge_stored<T>(merge_slope(weights.values[e] * along.values[e], total.values[e],
                                                                  merge_value(upstream.values[e])));
                merge_store<lanes>(out + spot.in_patches(l, ky) + kx * MergeSpot::next(l), slope);
            }
    });
}

// The best values of a spot, and the number of the patch that holds them. The mode is uniform over the launch: as a
// template argument it doubled the kernels, and the time to compile them.
template <int lanes, typename T, typename F>
__device__ __forceinline__ void find_best(const MergeSpot& spot, const T* __restrict__ patches, const MergeLayout& l,
                                          MergeLanes<F, lanes>& best, int (&who)[lanes]) {
    int number = 0;
    for (int64_t ky = spot.first_y; ky <= spot.last_y; ++ky)
        for (int64_t kx = spot.first_x; kx <= spot.last_x; ++kx, ++number) {
            const auto values = merge_load<lanes>(patches + spot.in_patches(l, ky) + kx * MergeSpot::next(l));
#pragma unroll
            for (int e = 0; e < lanes; ++e) {
                const F value = merge_value(values.values[e]);
                const bool better = l.mode == MergeMode::max ? merge_replaces<MergeMode::max>(value, best.values[e])
                                                             : merge_replaces<MergeMode::min>(value, best.values[e]);
                const bool replaces = (number == 0) | better;
                best.values[e] = replaces ? value : best.values[e];
                who[e] = replaces ? number : who[e];
            }
        }
}

template <int lanes, typename T>
__global__ void __launch_bounds__(kMergeThreads)
    extreme_kernel(const T* __restrict__ patches, MergeLayout l, MergeLaunch launch, T* __restrict__ out) {
    for_merge_spots<lanes>(l, launch, [&](const MergeSpot& spot) {
        MergeLanes<compute_t<T>, lanes> best{};
        int who[lanes] = {};
        find_best(spot, patches, l, best, who);
        MergeLanes<T, lanes> result;
#pragma unroll
        for (int e = 0; e < lanes; ++e) result.values[e] = merge_stored<T>(best.values[e]);
        merge_store<lanes>(out + spot.in_result(l), result);
    });
}

template <int lanes, typename T>
__global__ void __launch_bounds__(kMergeThreads)
    extreme_backward_kernel(const T* __restrict__ gradient, const T* __restrict__ patches, MergeLayout l,
                            MergeLaunch launch, T* __restrict__ out) {
    for_merge_spots<lanes>(l, launch, [&](const MergeSpot& spot) {
        MergeLanes<compute_t<T>, lanes> best{};
        int who[lanes] = {}, number = 0;
        find_best(spot, patches, l, best, who);
        const auto upstream = merge_load<lanes>(gradient + spot.in_result(l));
        for (int64_t ky = spot.first_y; ky <= spot.last_y; ++ky)
            for (int64_t kx = spot.first_x; kx <= spot.last_x; ++kx, ++number) {
                MergeLanes<T, lanes> slope;
#pragma unroll
                for (int e = 0; e < lanes; ++e) slope.values[e] = who[e] == number ? upstream.values[e] : T{};
                merge_store<lanes>(out + spot.in_patches(l, ky) + kx * MergeSpot::next(l), slope);
            }
    });
}

// Zero where a patch reaches beyond the scene or the rows asked for: a thread per row of a patch, most of which have
// nothing to do.
template <typename T>
__global__ void __launch_bounds__(kMergeThreads) clear_kernel(MergeLayout l, T* __restrict__ out) {
    const int64_t rows = l.held * l.x.count * l.channels * l.y.size, stride = int64_t{gridDim.x} * kMergeThreads;
    for (int64_t i = int64_t{blockIdx.x} * kMergeThreads + threadIdx.x; i < rows; i += stride) {
        const int64_t patch = i / l.y.size / l.channels, kx = patch % l.x.count;
        const int64_t row = (l.first_patch_row + patch / l.x.count) * l.y.stride + i % l.y.size;
        const int64_t left = l.x.length - kx * l.x.stride, inside = left < l.x.size ? left : l.x.size;
        for (int64_t x = row >= l.row_begin && row < l.row_end ? inside : 0; x < l.x.size; ++x)
            out[i * l.x.size + x] = T{};
    }
}

}  // namespace

// ------ launchers

template <typename T>
void merge_patches_cuda(const T* patches, const MergeWindow<compute_t<T>>& window, const MergeLayout& layout, T* out,
                        int device, void* stream) {
    const DeviceGuard guard(device);
    if (layout.mode == MergeMode::median) return merge_median_cuda(patches, layout, out, stream);
    const auto s = static_cast<cudaStream_t>(stream);
    const auto start = [&](auto count) {
        constexpr int lanes = count.value;
        const MergeLaunch launch = merge_launch(layout, lanes);
        const unsigned grid = grid_for(launch.units);
        if (layout.mode == MergeMode::mean) {
            mean_kernel<lanes><<<grid, kMergeThreads, 0, s>>>(patches, window, layout, launch, out);
        } else {
            extreme_kernel<lanes><<<grid, kMergeThreads, 0, s>>>(patches, layout, launch, out);
        }
        cuda_check(cudaGetLastError(), "merge_patches");
    };
    if (merge_aligned(layout, window, patches, out)) return start(std::integral_constant<int, 16 / sizeof(T)>{});
    start(std::integral_constant<int, 1>{});
}

template <typename T>
void merge_patches_backward_cuda(const T* gradient, const T* patches, const MergeWindow<compute_t<T>>& window,
                                 const MergeLayout& layout, T* out, int device, void* stream) {
    const DeviceGuard guard(device);
    const auto s = static_cast<cudaStream_t>(stream);
    const unsigned clearing = grid_for(layout.patches() / layout.x.size / kMergeThreads + 1);
    clear_kernel<<<clearing, kMergeThreads, 0, s>>>(layout, out);
    cuda_check(cudaGetLastError(), "merge_patches_backward");
    if (layout.row_begin == layout.row_end) return;
    if (layout.mode == MergeMode::median) return merge_median_backward_cuda(gradient, patches, layout, out, stream);
    const auto start = [&](auto count) {
        constexpr int lanes = count.value;
        const MergeLaunch launch = merge_launch(layout, lanes);
        const unsigned grid = grid_for(launch.units);
        if (layout.mode == MergeMode::mean) {
            mean_backward_kernel<lanes><<<grid, kMergeThreads, 0, s>>>(gradient, window, layout, launch, out);
        } else {
            extreme_backward_kernel<lanes><<<grid, kMergeThreads, 0, s>>>(gradient, patches, layout, launch, out);
        }
        cuda_check(cudaGetLastError(), "merge_patches_backward");
    };
    const bool aligned = merge_aligned(layout, window, out, gradient) && aligned16(patches);
    if (aligned) return start(std::integral_constant<int, 16 / sizeof(T)>{});
    start(std::integral_constant<int, 1>{});
}

// ------ instances

#define SARCORE_INSTANCE(T) \
    template void merge_patches_cuda<T>(const T*, const MergeWindow<compute_t<T>>&, const MergeLayout&, T*, int, void*);
SARCORE_FOR_MERGE_INPUTS(SARCORE_INSTANCE)
#undef SARCORE_INSTANCE
#define SARCORE_INSTANCE(T)                                                                            \
    template void merge_patches_backward_cuda<T>(const T*, const T*, const MergeWindow<compute_t<T>>&, \
                                                 const MergeLayout&, T*, int, void*);
SARCORE_FOR_MERGE_FLOATING(SARCORE_INSTANCE)
#undef SARCORE_INSTANCE

}  // namespace sarcore
