// Speckle on CUDA.
//
// independent: a thread takes a quad (four neighbouring pixels that share draws of 16 bytes), loads and stores it at
//              once where rows are aligned, in a grid-stride loop; no shared memory, no atomics, no synchronisation.
// correlated:  a block of 8 x 32 quads (32 x 32 pixels) draws each wave with its border into shared memory, convolves
// it
//              along x, then along y, and keeps the sums of squares in registers.
// Floor:       sizeof(T) bytes read and written per pixel; looks 1 draws one word per pixel, looks L <= 8 draw L.
#include "common/cuda.cuh"
#include "speckle/kernels.h"

namespace sarcore {

// ------ random fields of one quad

namespace {

constexpr int kThreads = 256;
constexpr int kTile = 32;                             // pixels along each side of a block's tile
constexpr int kSpan = kTile + 2 * kMaxTapRadius + 8;  // columns of whole quads around a tile
constexpr int kSpanRows = kTile + 2 * kMaxTapRadius;

struct Quad {
    float v[4];
};

__device__ Quad gamma_quad(const Sampler& s, const Stream& stream, uint32_t group, uint32_t row) {
    Quad out;
    if (s.factors > 0) {
        float product[2][4];
        for (int f = 0; f < s.factors; ++f) {
            const Words words = draw_words(stream, group, row, static_cast<uint32_t>(f));
#pragma unroll
            for (int j = 0; j < 4; ++j) {
                const float u = uniform_of(words.w[j]);
                float& p = f < 4 ? product[0][j] : product[1][j];
                p = f % 4 == 0 ? u : p * u;
            }
        }
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            const float first = exact_log_normal(product[0][j]);
            out.v[j] = -s.scale * (s.factors > 4 ? first + exact_log_normal(product[1][j]) : first);
        }
        return out;
    }
    if (s.factors < 0) return {{NAN, NAN, NAN, NAN}};
    const Words a = draw_words(stream, group, row, 0), b = draw_words(stream, group, row, 1);
    float normal[4];
    normals_of(a.w[0], a.w[1], normal[0], normal[1]);
    normals_of(a.w[2], a.w[3], normal[2], normal[3]);
    Words boost{};
    if (s.boosted) boost = draw_words(stream, group, row, kBoostDraw);
#pragma unroll
    for (int j = 0; j < 4; ++j) {
        float v = s.series ? tsang_value<true>(s, normal[j], b.w[j]) : tsang_value<false>(s, normal[j], b.w[j]);
        if (v < 0.0f) v = tsang_from(s, stream, group, row, j, 1);
        out.v[j] = s.boosted ? v * boost_of(s, boost.w[j]) * s.scale : v * s.scale;
    }
    return out;
}

// Intensities of unit mean: speckle times texture.
__device__ Quad intensity_quad(const SpeckleArguments& a, int64_t image, uint32_t group, uint32_t row) {
    const Place place = a.place(image);
    const float looks = a.looks_for(image);
    const Stream stream = stream_of(a.seed, place.image, a.channel(image), Purpose::speckle);
    Quad q = gamma_quad(sampler_of(looks, 1.0f / looks), stream, group, row);
    if (a.texture > 0.0f) {
        const Stream other = stream_of(a.seed, place.image, a.channel(image), Purpose::texture);
        const Quad t = gamma_quad(sampler_of(a.texture, 1.0f / a.texture), other, group, row);
#pragma unroll
        for (int j = 0; j < 4; ++j) q.v[j] *= t.v[j];
    }
    return q;
}

// ------ a pixel and its gain

template <typename T>
__device__ T speckled(const T* x, const uint8_t* mask, int64_t p, float gain, SpeckleDomain domain, bool refuse) {
    using F = compute_t<T>;
    const bool adds = domain == SpeckleDomain::db || domain == SpeckleDomain::log;
    if (!x) return narrow<T>(static_cast<F>(gain));
    const F v = widen(x[p]);
    if (mask && !mask[p]) return x[p];
    if (adds) return narrow<T>(v + static_cast<F>(gain));
    return narrow<T>(refuse && v < F(0) ? static_cast<F>(NAN) : v * static_cast<F>(gain));
}

__device__ void turned(const float* x, const uint8_t* mask, int64_t p, float a, float b, bool conjugate, float* out) {
    b = (conjugate ? -1.0f : 1.0f) * b;
    const float re = x ? x[2 * p] : a, im = x ? x[2 * p + 1] : b;
    const bool turn = x && (!mask || mask[p]);
    out[2 * p] = turn ? re * a - im * b : re;
    out[2 * p + 1] = turn ? re * b + im * a : im;
}

// Four pixels of a row from column c on, those outside the image left out.
template <typename T>
__device__ void store_quad(const T* x, const SpeckleArguments& a, int64_t row_start, int64_t c, const Quad& gain,
                           bool packed, T* out) {
    if (packed && c >= 0 && c + 4 <= a.width) {
        struct alignas(4 * sizeof(T) < 16 ? 4 * sizeof(T) : 16) Four {
            T v[4];
        };
        Four in{}, result;
        if (x) in = *reinterpret_cast<const Four*>(x + row_start + c);
        const uint8_t* const mask = a.mask ? a.mask + row_start + c : nullptr;
#pragma unroll
        for (int j = 0; j < 4; ++j) result.v[j] = speckled(x ? in.v : nullptr, mask, j, gain.v[j], a.domain, a.refuse);
        *reinterpret_cast<Four*>(out + row_start + c) = result;
        return;
    }
#pragma unroll
    for (int j = 0; j < 4; ++j)
        if (c + j >= 0 && c + j < a.width) {
            const int64_t p = row_start + c + j;
            out[p] = speckled(x, a.mask, p, gain.v[j], a.domain, a.refuse);
        }
}

// ------ kernels

template <typename T, bool complex>
__global__ void __launch_bounds__(kThreads)
    independent_kernel(const T* __restrict__ x, SpeckleArguments a, bool aligned, T* __restrict__ out) {
    const int64_t most = (a.width + 6) / 4, work = a.count * a.channels * a.height * most;
    for (int64_t i = blockIdx.x * int64_t{kThreads} + threadIdx.x; i < work; i += int64_t{kThreads} * gridDim.x) {
        const int64_t line = i / most, image = line / a.height, y = line % a.height;
        const Place place = a.place(image);
        const int64_t group = (place.x >> 2) + i % most, column = 4 * group - place.x;
        if (column >= a.width) continue;
        const uint32_t g = static_cast<uint32_t>(group), row = static_cast<uint32_t>(place.y + y);
        Quad q = intensity_quad(a, image, g, row);
        if constexpr (complex) {
            const Stream stream = stream_of(a.seed, place.image, a.channel(image), Purpose::speckle);
            const Words angle = draw_words(stream, g, row, 1);
#pragma unroll
            for (int j = 0; j < 4; ++j) {
                float cosine, sine;
                exact_direction(angle.w[j], cosine, sine);
                const float amplitude = gain_of(q.v[j], SpeckleDomain::amplitude);
                if (column + j >= 0 && column + j < a.width)
                    turned(x, a.mask, line * a.width + column + j, amplitude * cosine, amplitude * sine, a.conjugate,
                           out);
            }
        } else {
#pragma unroll
            for (int j = 0; j < 4; ++j) q.v[j] = gain_of(q.v[j], a.domain);
            store_quad(x, a, line * a.width, column, q, aligned && (place.x & 3) == 0, out);
        }
    }
}

// One smoothed wave at this thread's quad.
__device__ Quad wave_quad(const SpeckleArguments& a, const Stream& stream, uint32_t number, int64_t group, int64_t row,
                          float (*noise)[kSpan], float (*smooth)[kTile]) {
    const int border = (a.radius_x + 3) / 4;  // quads on either side
    const int groups = kTile / 4 + 2 * border, rows = kTile + 2 * a.radius_y;
    __syncthreads();
    for (int i = static_cast<int>(threadIdx.x); i < groups * rows; i += kThreads) {
        const int g = i % groups, r = i / groups;
        const Words w = draw_words(stream, static_cast<uint32_t>(group + g - border),
                                   static_cast<uint32_t>(row + r - a.radius_y), number);
        normals_of(w.w[0], w.w[1], noise[r][4 * g], noise[r][4 * g + 1]);
        normals_of(w.w[2], w.w[3], noise[r][4 * g + 2], noise[r][4 * g + 3]);
    }
    __syncthreads();
    for (int i = static_cast<int>(threadIdx.x); i < kTile * rows; i += kThreads) {
        const int c = i % kTile, r = i / kTile;
        const float* const in = noise[r] + c + 4 * border - a.radius_x;
        float sum = a.taps_x[0] * in[0];
        for (int k = 1; k <= 2 * a.radius_x; ++k) sum += a.taps_x[k] * in[k];
        smooth[r][c] = sum;
    }
    __syncthreads();
    Quad out;
    const int c = static_cast<int>(threadIdx.x) % 8 * 4, r = static_cast<int>(threadIdx.x) / 8;
#pragma unroll
    for (int j = 0; j < 4; ++j) {
        float sum = a.taps_y[0] * smooth[r][c + j];
        for (int k = 1; k <= 2 * a.radius_y; ++k) sum += a.taps_y[k] * smooth[r + k][c + j];
        out.v[j] = sum;
    }
    return out;
}

template <typename T, bool complex>
__global__ void __launch_bounds__(kThreads)
    correlated_kernel(const T* __restrict__ x, SpeckleArguments a, bool aligned, T* __restrict__ out) {
    __shared__ float noise[kSpanRows][kSpan];
    __shared__ float smooth[kSpanRows][kTile];
    const int64_t across = (a.width + 3 + kTile - 1) / kTile, down = (a.height + kTile - 1) / kTile;
    for (int64_t work = blockIdx.x; work < a.count * a.channels * across * down; work += gridDim.x) {
        const int64_t image = work / (across * down), y = work / across % down * kTile;
        const Place place = a.place(image);
        const int64_t first = (place.x >> 2) + work % across * (kTile / 4);  // the tile's first quad
        const int64_t group = first + threadIdx.x % 8, row = y + threadIdx.x / 8, column = 4 * group - place.x;
        const uint32_t channel = a.channel(image), g = static_cast<uint32_t>(group);
        const uint32_t scene_row = static_cast<uint32_t>(place.y + row);
        const Stream waves = stream_of(a.seed, place.image, channel, Purpose::waves);
        Quad texture{{1.0f, 1.0f, 1.0f, 1.0f}};
        if (a.texture > 0.0f)
            texture = gamma_quad(sampler_of(a.texture, 1.0f / a.texture),
                                 stream_of(a.seed, place.image, channel, Purpose::texture), g, scene_row);
        const int64_t line = image * a.height + row;
        const bool inside = row < a.height && column < a.width;
        if constexpr (complex) {
            const Quad re = wave_quad(a, waves, 0, first, place.y + y, noise, smooth);
            const Quad im = wave_quad(a, waves, 1, first, place.y + y, noise, smooth);
            for (int j = 0; inside && j < 4; ++j) {
                const float amplitude = exact_sqrt(a.texture > 0.0f ? 0.5f * texture.v[j] : 0.5f);
                if (column + j >= 0 && column + j < a.width)
                    turned(x, a.mask, line * a.width + column + j, amplitude * re.v[j], amplitude * im.v[j],
                           a.conjugate, out);
            }
        } else {
            const float looks = a.looks_for(image);
            const int count = waves_of(looks);
            Quad q{{0.0f, 0.0f, 0.0f, 0.0f}};
            for (int number = 0; number < count; ++number) {
                const Quad w = wave_quad(a, waves, static_cast<uint32_t>(number), first, place.y + y, noise, smooth);
#pragma unroll
                for (int j = 0; j < 4; ++j) q.v[j] += w.v[j] * w.v[j];
            }
            const float rest = looks - 0.5f * static_cast<float>(count), scale = 1.0f / looks;
            Quad more{};
            if (!(rest == 0.0f))
                more = gamma_quad(sampler_of(rest, 1.0f), stream_of(a.seed, place.image, channel, Purpose::remainder),
                                  g, scene_row);
#pragma unroll
            for (int j = 0; j < 4; ++j) {
                const float sum = rest == 0.0f ? 0.5f * q.v[j] * scale : (0.5f * q.v[j] + more.v[j]) * scale;
                q.v[j] = gain_of(a.texture > 0.0f ? sum * texture.v[j] : sum, a.domain);
            }
            if (inside) store_quad(x, a, line * a.width, column, q, aligned && (place.x & 3) == 0, out);
        }
    }
}

// ------ launchers

template <typename T, bool complex>
void launch(const T* x, const SpeckleArguments& a, T* out, int device, void* stream) {
    const int64_t images = a.count * a.channels;
    if (images == 0 || a.pixels() == 0) return;
    const DeviceGuard guard(device);
    const auto s = static_cast<cudaStream_t>(stream);
    const bool aligned = a.width % 4 == 0 && aligned16(x) && aligned16(out);
    if (a.taps_x) {
        const int64_t tiles = (a.width + 3 + kTile - 1) / kTile * ((a.height + kTile - 1) / kTile);
        correlated_kernel<T, complex><<<grid_for(images * tiles), kThreads, 0, s>>>(x, a, aligned, out);
    } else {
        const int64_t quads = images * a.height * ((a.width + 6) / 4);
        independent_kernel<T, complex>
            <<<grid_for((quads + kThreads - 1) / kThreads), kThreads, 0, s>>>(x, a, aligned, out);
    }
    cuda_check(cudaGetLastError(), "speckle");
}

}  // namespace

template <typename T>
void speckle_cuda(const T* x, const SpeckleArguments& a, T* out, int device, void* stream) {
    launch<T, false>(x, a, out, device, stream);
}
template void speckle_cuda(const Half*, const SpeckleArguments&, Half*, int, void*);
template void speckle_cuda(const BFloat16*, const SpeckleArguments&, BFloat16*, int, void*);
template void speckle_cuda(const float*, const SpeckleArguments&, float*, int, void*);
template void speckle_cuda(const double*, const SpeckleArguments&, double*, int, void*);

void speckle_complex_cuda(const float* x, const SpeckleArguments& a, float* out, int device, void* stream) {
    launch<float, true>(x, a, out, device, stream);
}

}  // namespace sarcore
