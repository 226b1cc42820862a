// resample on CUDA.
//
// tables:    the weights of both axes, a thread per result, from the same formulas as on the CPU.
// tiles:     a block takes a tile of results of one plane. The first pass, vertical where the height shrinks, else
//            horizontal, reads the image through the first-level cache and leaves its sums in shared memory; the second
//            pass reads them there. A thread sums four rows or four columns at once, so that a weight is read once for
//            four sums. The backward pass is the same with the transposed tables: a gather, no atomics.
// two steps: where the inputs of a single result do not fit into shared memory (a factor of thousands), each pass is a
//            launch of its own, through a plane in global memory.
// Floor:     read the input once, write the result once. Sums run in the order of the CPU: the bits are the same.
#include "resample/cuda_tables.cuh"

namespace sarcore {

// ------ kernels

namespace {

constexpr int kThreads = 256, kWarps = kThreads / 32;
constexpr int kSums = 4;  // of one thread

// Where results go. A pixel has `parts` elements, two if it is complex.
template <typename T, int parts>
struct Target {
    T* out;
    const T* upstream;
    int64_t width;
    compute_t<T> low, high;
    bool clamp;

    __device__ void store(int64_t row, int64_t column, compute_t<T> v) const {
        const int64_t at = (row * width + column) * parts;
        if (upstream)
            out[at] = v >= low && v <= high ? upstream[at] : T{};
        else
            out[at] = element_of<T>(clamp ? clamped_to(v, low, high) : v);
    }
    __device__ __host__ Target from(int64_t offset) const {
        Target moved = *this;
        moved.out += offset;
        if (moved.upstream) moved.upstream += offset;
        return moved;
    }
};

// A sum begins with -0, to which the first product is added exactly; without products it is 0.
template <typename F>
__device__ __forceinline__ F beginning(const InputRange& span) {
    return span.first < span.last ? F(-0.0) : F(0);
}

// Horizontal: results x0 + c, c < columns, of `rows` rows. A warp takes 4 rows and 32 columns at a time.
template <typename F, typename Read, typename Write>
__device__ __forceinline__ void blend_columns(const DeviceTable<F>& table, int64_t x0, int columns, int rows,
                                              const Read& read, const Write& write) {
    const int lane = static_cast<int>(threadIdx.x) % 32, across = (columns + 31) / 32;
    const int items = (rows + kSums - 1) / kSums * across;
    for (int item = static_cast<int>(threadIdx.x) / 32; item < items; item += kWarps) {
        const int row = item / across * kSums, column = item % across * 32 + lane;
        if (column >= columns) continue;
        const InputRange span = table.spans[x0 + column];
        const int count = rows - row < kSums ? rows - row : kSums;
        const F* weights = table.weights + x0 + column;
        F sums[kSums];
        for (int q = 0; q < kSums; ++q) sums[q] = beginning<F>(span);
        for (int64_t i = span.first; i < span.last; ++i, weights += table.results) {
            const F weight = *weights;
#pragma unroll
            for (int q = 0; q < kSums; ++q) {
                if (q >= count) break;
                sums[q] += weight * read(row + q, i);
            }
        }
        for (int q = 0; q < count; ++q) write(row + q, column, sums[q]);
    }
}

// Vertical: results y0 + r, r < rows, of `columns` columns. A warp takes a row and 4 x 32 columns at a time.
template <typename F, typename Read, typename Write>
__device__ __forceinline__ void blend_rows(const DeviceTable<F>& table, int64_t y0, int rows, int columns,
                                           const Read& read, const Write& write) {
    const int lane = static_cast<int>(threadIdx.x) % 32, across = (columns + 32 * kSums - 1) / (32 * kSums);
    for (int item = static_cast<int>(threadIdx.x) / 32; item < rows * across; item += kWarps) {
        const int row = item / across, column = item % across * 32 * kSums + lane;
        const InputRange span = table.spans[y0 + row];
        const F* weights = table.weights + y0 + row;
        F sums[kSums];
        for (int q = 0; q < kSums; ++q) sums[q] = beginning<F>(span);
        for (int64_t i = span.first; i < span.last; ++i, weights += table.results) {
            const F weight = *weights;
#pragma unroll
            for (int q = 0; q < kSums; ++q) {
                if (column + 32 * q >= columns) break;
                sums[q] += weight * read(i, column + 32 * q);
            }
        }
        for (int q = 0; q < kSums && column + 32 * q < columns; ++q) write(row, column + 32 * q, sums[q]);
    }
}

template <typename F>
__device__ __forceinline__ InputRange inputs_of(const DeviceTable<F>& table, int64_t a, int64_t b) {
    return {table.reach[a].first, table.reach[b - 1].last};
}

template <typename T, int parts, bool rows_first, typename F>
__global__ void __launch_bounds__(kThreads)
    tile_kernel(const T* __restrict__ in, int64_t planes, DeviceTable<F> y, DeviceTable<F> x, int64_t tile_height,
                int64_t tile_width, Target<T, parts> target) {
    extern __shared__ double resample_shared[];
    F* const between = reinterpret_cast<F*>(resample_shared);
    const int64_t down = (y.results + tile_height - 1) / tile_height,
                  across = (x.results + tile_width - 1) / tile_width;
    for (int64_t work = blockIdx.x; work < planes * parts * down * across; work += gridDim.x) {
        const int64_t plane = work / (across * down) / parts, part = work / (across * down) % parts;
        const int64_t y0 = work / across % down * tile_height, x0 = work % across * tile_width;
        const int rows = static_cast<int>(y.results - y0 < tile_height ? y.results - y0 : tile_height);
        const int columns = static_cast<int>(x.results - x0 < tile_width ? x.results - x0 : tile_width);
        const InputRange ys = inputs_of(y, y0, y0 + rows), xs = inputs_of(x, x0, x0 + columns);
        const T* image = in + plane * y.inputs * x.inputs * parts + part;
        const auto pixel = [&](int64_t row, int64_t column) {
            return static_cast<F>(element_value(image[(row * x.inputs + column) * parts]));
        };
        const int64_t corner = (plane * y.results + y0) * x.results + x0;
        const Target<T, parts> tile = target.from(corner * parts + part);
        const auto store = [&](int64_t row, int64_t column, F v) { tile.store(row, column, v); };
        if constexpr (rows_first) {
            const int width = static_cast<int>(xs.last - xs.first);
            blend_rows(
                y, y0, rows, width, [&](int64_t row, int64_t column) { return pixel(row, xs.first + column); },
                [&](int row, int column, F v) { between[row * width + column] = v; });
            __syncthreads();
            blend_columns(
                x, x0, columns, rows, [&](int row, int64_t i) { return between[row * width + (i - xs.first)]; }, store);
        } else {
            blend_columns(
                x, x0, columns, static_cast<int>(ys.last - ys.first),
                [&](int row, int64_t i) { return pixel(ys.first + row, i); },
                [&](int row, int column, F v) { between[row * columns + column] = v; });
            __syncthreads();
            blend_rows(
                y, y0, rows, columns, [&](int64_t i, int column) { return between[(i - ys.first) * columns + column]; },
                store);
        }
        __syncthreads();
    }
}

// The two steps of one plane that shrinks, through `between` (results of y, inputs of x).
template <typename T, int parts, typename F>
__global__ void __launch_bounds__(kThreads)
    first_step_kernel(const T* __restrict__ image, DeviceTable<F> y, int64_t width, F* __restrict__ between) {
    constexpr int64_t columns = 32 * kSums * kWarps;
    const int64_t across = (width + columns - 1) / columns;
    for (int64_t work = blockIdx.x; work < y.results * across; work += gridDim.x) {
        const int64_t row = work / across, x0 = work % across * columns;
        blend_rows(
            y, row, 1, static_cast<int>(width - x0 < columns ? width - x0 : columns),
            [&](int64_t i, int64_t column) {
                return static_cast<F>(element_value(image[(i * width + x0 + column) * parts]));
            },
            [&](int64_t, int64_t column, F v) { between[row * width + x0 + column] = v; });
    }
}

template <typename T, int parts, typename F>
__global__ void __launch_bounds__(kThreads)
    second_step_kernel(const F* __restrict__ between, DeviceTable<F> x, int64_t height, Target<T, parts> target) {
    constexpr int64_t rows = kSums, columns = 32 * kWarps;
    const int64_t down = (height + rows - 1) / rows, across = (x.results + columns - 1) / columns;
    for (int64_t work = blockIdx.x; work < down * across; work += gridDim.x) {
        const int64_t y0 = work / across * rows, x0 = work % across * columns;
        blend_columns(
            x, x0, static_cast<int>(x.results - x0 < columns ? x.results - x0 : columns),
            static_cast<int>(height - y0 < rows ? height - y0 : rows),
            [&](int64_t row, int64_t i) { return between[(y0 + row) * x.inputs + i]; },
            [&](int64_t row, int64_t column, F v) { target.store(y0 + row, x0 + column, v); });
    }
}

}  // namespace

// ------ launchers

int64_t resample_workspace(const Geometry& geometry, bool wide) {
    const Plan plan(geometry, wide ? 8 : 4);
    return wide ? plan.bytes<double>() : plan.bytes<float>();
}

namespace {

template <typename F>
void compute_tables(const Geometry& g, const Plan& plan, const DeviceTable<F>& y, const DeviceTable<F>& x, char*& space,
                    cudaStream_t stream) {
    const unsigned forward_blocks = grid_for((g.y.outputs + g.x.outputs + 127) / 128);
    if (!g.backward) {
        table_kernel<F><<<forward_blocks, 128, 0, stream>>>(g.y, g.x, y, x);
    } else {
        const DeviceTable<F> forward_y = place_table<F>(plan.forward[0], space);
        const DeviceTable<F> forward_x = place_table<F>(plan.forward[1], space);
        const unsigned blocks = grid_for((g.y.inputs + g.x.inputs + 127) / 128);
        table_kernel<F><<<forward_blocks, 128, 0, stream>>>(g.y, g.x, forward_y, forward_x);
        transposed_kernel<F><<<blocks, 128, 0, stream>>>(g.y, g.x, forward_y, forward_x, y, x);
    }
    cuda_check(cudaGetLastError(), "resample, tables");
}

template <typename T, int parts>
void launch(const T* in, int64_t planes, const Geometry& g, const Target<T, parts>& target, char* space,
            cudaStream_t s) {
    using F = compute_t<T>;
    const Plan plan(g, sizeof(F));
    const DeviceTable<F> y = place_table<F>(plan.y, space), x = place_table<F>(plan.x, space);
    compute_tables(g, plan, y, x, space, s);
    if (plan.shared) {
        const int64_t tiles = ((y.results - 1) / plan.tile_height + 1) * ((x.results - 1) / plan.tile_width + 1);
        const unsigned blocks = grid_for(planes * parts * tiles);
        const size_t bytes = static_cast<size_t>(plan.shared) * sizeof(F);
        if (plan.rows_first) {
            tile_kernel<T, parts, true, F>
                <<<blocks, kThreads, bytes, s>>>(in, planes, y, x, plan.tile_height, plan.tile_width, target);
        } else {
            tile_kernel<T, parts, false, F>
                <<<blocks, kThreads, bytes, s>>>(in, planes, y, x, plan.tile_height, plan.tile_width, target);
        }
        return cuda_check(cudaGetLastError(), "resample");
    }
    // Only results that shrink come here: the others have few inputs each.
    F* const between = reinterpret_cast<F*>(space);
    const unsigned first_blocks = grid_for(y.results * ((x.inputs - 1) / (32 * kSums * kWarps) + 1));
    const unsigned second_blocks = grid_for(((y.results - 1) / kSums + 1) * ((x.results - 1) / kThreads + 1));
    for (int64_t k = 0; k < planes * parts; ++k) {
        const int64_t plane = k / parts, part = k % parts;
        const T* image = in + plane * y.inputs * x.inputs * parts + part;
        const Target<T, parts> own = target.from(plane * y.results * x.results * parts + part);
        first_step_kernel<T, parts, F><<<first_blocks, kThreads, 0, s>>>(image, y, x.inputs, between);
        second_step_kernel<T, parts, F><<<second_blocks, kThreads, 0, s>>>(between, x, y.results, own);
        cuda_check(cudaGetLastError(), "resample, two steps");
    }
}

}  // namespace

template <typename T>
void resample_cuda(const T* in, int64_t planes, int components, const Geometry& g, const Finish& finish,
                   const T* upstream, void* workspace, T* out, int device, void* stream) {
    using F = compute_t<T>;
    if (planes == 0) return;
    const DeviceGuard guard(device);
    const auto s = static_cast<cudaStream_t>(stream);
    const F low = static_cast<F>(finish.low), high = static_cast<F>(finish.high);
    char* const space = static_cast<char*>(workspace);
    if constexpr (std::is_same_v<T, float>)
        if (components == 2)
            return launch<T, 2>(in, planes, g, {out, upstream, g.out_width(), low, high, finish.clamp}, space, s);
    launch<T, 1>(in, planes, g, {out, upstream, g.out_width(), low, high, finish.clamp}, space, s);
}

#define SARCORE_INSTANCE(T)                                                                                          \
    template void resample_cuda<T>(const T*, int64_t, int, const Geometry&, const Finish&, const T*, void*, T*, int, \
                                   void*);
SARCORE_FOR_RESAMPLED(SARCORE_INSTANCE)
#undef SARCORE_INSTANCE

}  // namespace sarcore
