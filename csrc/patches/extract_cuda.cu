// extract_patches on CUDA with a radiometry: the arithmetic of encode in the tiles of extract_tiles.cuh.
#include "patches/extract_tiles.cuh"

namespace sarcore {

namespace {

template <typename T, typename Out>
struct Encoder {
    Mapping<wider_t<T, Out>> m;
    compute_t<T> nodata;
    Out padding;

    // The curve is uniform over the launch.
    template <typename Body>
    __device__ __forceinline__ void with(const Body& body) const {
        with_curve(m.curve, [&](auto curve) {
            body([&](T element) {
                return stored<Out>(encoded<decltype(curve)::value>(load_value(element, m.nodata), m), m.reserve);
            });
        });
    }
    __device__ __forceinline__ bool is_data(T element) const {
        const compute_t<T> v = load_value(element, nodata);
        return v == v;
    }
};

}  // namespace

template <typename T, typename Out>
void extract_encoded_cuda(const PatchLayout& layout, const int64_t* order, const T* scene, const Radiometry& r,
                          Out* out, unsigned long long* counts, int device, void* stream) {
    using F = wider_t<T, Out>;
    const bool missing = r.reserve && layout.pad == Pad::constant;
    const Out padding = stored<Out>(missing ? not_a_number<F>() : F(0), false);
    const Encoder<T, Out> encoder{encoding<F, T>(r), encoding<compute_t<T>, T>(r).nodata, padding};
    launch_extract(layout, order, scene, encoder, out, counts, device, stream);
}

#define SARCORE_INSTANCE(T, Out)                                                                                      \
    template void extract_encoded_cuda<T, Out>(const PatchLayout&, const int64_t*, const T*, const Radiometry&, Out*, \
                                               unsigned long long*, int, void*);
SARCORE_FOR_INPUTS(SARCORE_INSTANCE, uint8_t)
SARCORE_FOR_INPUTS(SARCORE_INSTANCE, uint16_t)
SARCORE_FOR_INPUTS(SARCORE_INSTANCE, Half)
SARCORE_FOR_INPUTS(SARCORE_INSTANCE, BFloat16)
SARCORE_FOR_INPUTS(SARCORE_INSTANCE, float)
SARCORE_FOR_INPUTS(SARCORE_INSTANCE, double)
#undef SARCORE_INSTANCE

}  // namespace sarcore
