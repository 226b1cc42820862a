// extract_patches on CUDA without a radiometry: elements as they are, or cast, in the tiles of extract_tiles.cuh.
#include "patches/extract_tiles.cuh"

namespace sarcore {

namespace {

template <typename T, typename Out>
struct Caster {
    Out padding;

    template <typename Body>
    __device__ __forceinline__ void with(const Body& body) const {
        body([](T element) {
            if constexpr (std::is_same_v<T, Out>)
                return element;
            else if constexpr (std::is_integral_v<Out>)
                return static_cast<Out>(element);
            else
                return narrowed<Out>(static_cast<wider_t<T, Out>>(value_of(element)));
        });
    }
    __device__ __forceinline__ bool is_data(T element) const {
        const compute_t<T> v = load_value(element, not_a_number<compute_t<T>>());
        return v == v;
    }
};

}  // namespace

template <typename T, typename Out>
void extract_cast_cuda(const PatchLayout& layout, const int64_t* order, const T* scene, Out* out,
                       unsigned long long* counts, int device, void* stream) {
    launch_extract(layout, order, scene, Caster<T, Out>{Out{}}, out, counts, device, stream);
}

#define SARCORE_INSTANCE(T, Out)                                                                                     \
    template void extract_cast_cuda<T, Out>(const PatchLayout&, const int64_t*, const T*, Out*, unsigned long long*, \
                                            int, void*);
SARCORE_FOR_CASTS(SARCORE_INSTANCE)
#undef SARCORE_INSTANCE

}  // namespace sarcore
