// extract_patches on CUDA.
//
// A block converts one tile into shared memory (the arithmetic of encode, a cast, or elements as they are) and writes
// it into every patch that covers it, 16 bytes per thread where rows align: a logarithm is taken once per pixel of the
// scene, not once per copy. A thread loads, computes and stores four pixels at a time, so that the branches on types
// and curve, which are uniform over the launch, cost little. Valid pixels are counted in the same launch. Floor: one
// read of the scene and one write of the patches.
#include "patches/extract_tiles.cuh"
#include "patches/extract_types.cuh"

namespace sarcore {

namespace {

constexpr int kBatch = 4;

// Pixels of a thread: where they stand in the tile, -1 beyond the box, and in the scene, -1 for padding.
struct Batch {
    int at[kBatch];
    int64_t from[kBatch];
};

__device__ __forceinline__ Batch batch_of(const PatchLayout& l, const Box& box, int pitch, int64_t channel, int first) {
    Batch batch;
#pragma unroll
    for (int k = 0; k < kBatch; ++k) {
        const int i = first + k * kExtractThreads, row = i / box.columns, column = i - row * box.columns;
        batch.at[k] = batch.from[k] = -1;
        if (row >= box.rows) continue;
        batch.at[k] = row * pitch + column;
        const int64_t y = source_of(box.row + row, l.height, l.pad);
        const int64_t x = source_of(box.column + column, l.width, l.pad);
        if (y >= 0 && x >= 0) batch.from[k] = (channel * l.height + y) * l.width + x;
    }
    return batch;
}

// ------ conversions: fill(scene, batch, tile, data) clears data where a pixel holds none; data may be null

// By a radiometry, or a cast by way of F, in which 16-bit integers are exact.
template <typename F>
struct Converted {
    DType from, to;
    bool encodes;
    Mapping<F> m;
    F nodata;  // that of the valid fraction, which is asked in the type of the scene
    F padding;

    __device__ __forceinline__ void load(const void* scene, const Batch& batch, F (&v)[kBatch], uint8_t* data) const {
        with_type(from, [&](auto type) {
            using T = decltype(type);
            if constexpr (loads_as<T, F>) {
#pragma unroll
                for (int k = 0; k < kBatch; ++k) {
                    v[k] = F(0);
                    if (batch.from[k] < 0) continue;
                    const T element = static_cast<const T*>(scene)[batch.from[k]];
                    v[k] = load_value(element, m.nodata);
                    const F found = load_value(element, nodata);
                    if (data && found != found) data[batch.at[k]] = 0;
                }
            }
        });
    }

    // The integers that encode are unsigned.
    template <typename Out>
    __device__ __forceinline__ Out element_of(F v) const {
        if constexpr (std::is_integral_v<Out>)
            if (!encodes || std::is_signed_v<Out>) return static_cast<Out>(static_cast<int32_t>(v));
        return stored<Out>(v, m.reserve);
    }

    __device__ __forceinline__ void store(const Batch& batch, const F (&v)[kBatch], void* tile) const {
        with_type(to, [&](auto type) {
            using Out = decltype(type);
            constexpr bool wide = std::is_same_v<F, double>;
            constexpr bool made_of_double = !std::is_integral_v<Out> || std::is_unsigned_v<Out>;
            if constexpr (!std::is_same_v<Out, Complex64> && (wide ? made_of_double : !std::is_same_v<Out, double>)) {
#pragma unroll
                for (int k = 0; k < kBatch; ++k)
                    if (batch.at[k] >= 0) static_cast<Out*>(tile)[batch.at[k]] = element_of<Out>(v[k]);
            }
        });
    }

    __device__ __forceinline__ void fill(const void* scene, const Batch& batch, void* tile, uint8_t* data) const {
        F v[kBatch];
        load(scene, batch, v, data);
        if (encodes)
            with_curve(m.curve, [&](auto curve) {
#pragma unroll
                for (int k = 0; k < kBatch; ++k) v[k] = encoded<decltype(curve)::value>(v[k], m);
            });
#pragma unroll
        for (int k = 0; k < kBatch; ++k) v[k] = batch.from[k] < 0 ? padding : v[k];
        store(batch, v, tile);
    }
};

// Elements as they are, of any type of this size.
struct Copied {
    DType type;
    int size;

    template <typename U>
    __device__ __forceinline__ void copy(const void* scene, const Batch& batch, void* tile) const {
        U elements[kBatch];
#pragma unroll
        for (int k = 0; k < kBatch; ++k)
            elements[k] = batch.from[k] < 0 ? U(0) : static_cast<const U*>(scene)[batch.from[k]];
#pragma unroll
        for (int k = 0; k < kBatch; ++k)
            if (batch.at[k] >= 0) static_cast<U*>(tile)[batch.at[k]] = elements[k];
    }

    __device__ __forceinline__ void fill(const void* scene, const Batch& batch, void* tile, uint8_t* data) const {
        if (size == 1) copy<uint8_t>(scene, batch, tile);
        if (size == 2) copy<uint16_t>(scene, batch, tile);
        if (size == 4) copy<uint32_t>(scene, batch, tile);
        if (size == 8) copy<uint64_t>(scene, batch, tile);
        if (!data) return;
        with_type(type, [&](auto element) {
            using T = decltype(element);
            if constexpr (!std::is_integral_v<T>) {
#pragma unroll
                for (int k = 0; k < kBatch; ++k) {
                    if (batch.from[k] < 0) continue;
                    const T again = static_cast<const T*>(scene)[batch.from[k]];
                    const compute_t<T> v = load_value(again, not_a_number<compute_t<T>>());
                    if (v != v) data[batch.at[k]] = 0;
                }
            }
        });
    }
};

// ------ kernel

template <typename Conversion>
__global__ void __launch_bounds__(kExtractThreads)
    extract_kernel(PatchLayout l, Tiling t, const int64_t* __restrict__ order, const void* __restrict__ scene,
                   Conversion conversion, int size, int data_at, unsigned char* __restrict__ out,
                   unsigned long long* __restrict__ counts) {
    extern __shared__ Words shared[];
    unsigned char* const tile = reinterpret_cast<unsigned char*>(shared);
    uint8_t* const data = counts ? tile + data_at : nullptr;
    const int pitch = t.columns;
    const int64_t tiles = t.down * t.across * (t.by_patch ? l.count : 1);
    for (int64_t work = blockIdx.x; work < tiles; work += gridDim.x) {
        const Box box = box_of(l, t, work);
        if (counts) mark_inside(l, box, data, pitch);
        // The channels, and a last round that counts.
        for (int64_t channel = 0; channel < l.channels + (counts ? 1 : 0); ++channel) {
            const bool counting = channel == l.channels;
            __syncthreads();
            const int pixels = counting ? 0 : box.rows * box.columns;
            for (int i = static_cast<int>(threadIdx.x); i < pixels; i += kBatch * kExtractThreads)
                conversion.fill(scene, batch_of(l, box, pitch, channel, i), tile, data);
            __syncthreads();
            for_covering(l, t, order, box, [&](int64_t row, int64_t column, int64_t number) {
                const Part part = part_of(l, box, row, column);
                if (counting) return count_part(data, pitch, part, counts + number);
                const int64_t y = box.row + part.row - row, x = box.column + part.column - column;
                const int64_t place = ((number * l.channels + channel) * l.h + y) * l.w + x;
                copy_part(tile, pitch, part, size, l.w, out + place * size);
            });
        }
        __syncthreads();
    }
}

template <typename F>
Converted<F> converted(DType from, DType to, const Radiometry* radiometry) {
    Converted<F> c{from, to, radiometry != nullptr, {}, not_a_number<F>(), F(0)};
    c.m.nodata = not_a_number<F>();
    if (!radiometry) return c;
    const Radiometry r = declared_for(from, *radiometry);
    c.m = encoding<F, double>(r);
    c.nodata = from == DType::f64 ? c.m.nodata : static_cast<F>(encoding<float, double>(r).nodata);
    if (r.reserve) c.padding = not_a_number<F>();
    return c;
}

}  // namespace

void extract_cuda(const PatchLayout& l, const int64_t* order, DType type, const void* scene,
                  const Radiometry* radiometry, DType out_type, void* out, unsigned long long* counts, int device,
                  void* stream) {
    if (l.count == 0) return;
    const DeviceGuard guard(device);
    const int size = size_of(out_type), elements = size > 4 ? 2048 : 4096;
    const Tiling t = tiling_of(l, order != nullptr, elements);
    const int data_at = (t.rows * t.columns * size + 15) / 16 * 16;
    const size_t bytes = static_cast<size_t>(data_at + (counts ? t.rows * t.columns : 0));
    const unsigned blocks = grid_for(t.down * t.across * (t.by_patch ? l.count : 1));
    const auto s = static_cast<cudaStream_t>(stream);
    unsigned char* const to = static_cast<unsigned char*>(out);
    const auto launch = [&](const auto& conversion) {
        extract_kernel<<<blocks, kExtractThreads, bytes, s>>>(l, t, order, scene, conversion, size, data_at, to,
                                                              counts);
    };
    if (!radiometry && type == out_type)
        launch(Copied{type, size});
    else if (type == DType::f64 || out_type == DType::f64)
        launch(converted<double>(type, out_type, radiometry));
    else
        launch(converted<float>(type, out_type, radiometry));
    cuda_check(cudaGetLastError(), "extract_patches");
}

}  // namespace sarcore
