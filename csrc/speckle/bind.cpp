// Python entry point of speckle: argument checks, dispatch on device and dtype.
#include <array>

#include "common/checks.h"
#include "common/pages.h"
#include "speckle/kernels.h"

namespace sarcore {

namespace {

SpeckleDomain domain_of(const std::string& name) {
    return choose<SpeckleDomain>("domain", name,
                                 {{"intensity", SpeckleDomain::intensity},
                                  {"amplitude", SpeckleDomain::amplitude},
                                  {"db", SpeckleDomain::db},
                                  {"log", SpeckleDomain::log},
                                  {"complex", SpeckleDomain::complex}});
}

template <typename T>
const T* per_image(const std::optional<TensorView>& view, const char* name, DType dtype, int columns,
                   const TensorView& out) {
    if (!view) return nullptr;
    require_layout(*view, name, columns == 1 ? 1 : 2);
    require(view->dtype == dtype && view->shape[0] == out.shape[0] && (columns == 1 || view->shape[1] == columns), name,
            *view, std::string(dtype == DType::f32 ? "float32" : "int64") + " with a row per image");
    require_same_device(*view, name, out, "x");
    return view->as<const T>();
}

const float* taps_of(const std::optional<TensorView>& view, const char* name, const TensorView& out, int& radius) {
    if (!view) return nullptr;
    require_layout(*view, name, 1);
    require(view->dtype == DType::f32 && view->shape[0] % 2 == 1 && view->shape[0] <= 2 * kMaxTapRadius + 1, name,
            *view, "an odd number of float32 taps, at most " + std::to_string(2 * kMaxTapRadius + 1));
    require_same_device(*view, name, out, "x");
    radius = static_cast<int>(view->shape[0] / 2);
    return view->as<const float>();
}

void require_images(const std::optional<TensorView>& x, const std::optional<TensorView>& mask, const TensorView& out,
                    bool complex) {
    require_layout(out, "out", complex ? 5 : 4);
    require(out.writable && (!complex || (out.shape[4] == 2 && out.dtype == DType::f32)), "out", out,
            "writable, and (N, C, H, W, 2) float32 for complex images");
    require(out.shape[1] <= 65536, "x", out, "an image of at most 65536 channels");
    require_cuda_build(out, "x");
    if (x) {
        require(x->contiguous() && x->dtype == out.dtype, "x", *x, "contiguous and of the dtype of the result");
        require_same_shape(*x, "x", out, "the result");
        require_same_device(*x, "x", out, "the result");
    }
    if (mask) {
        require((mask->dtype == DType::u8 || mask->dtype == DType::boolean) && mask->contiguous() &&
                    mask->numel() * (complex ? 2 : 1) == out.numel(),
                "mask", *mask, "contiguous, bool or uint8, with one byte per pixel");
        require_same_device(*mask, "mask", out, "x");
    }
}

bool run(const std::optional<TensorView>& x, const SpeckleArguments& a, int threads, const TensorView& out) {
    if (a.domain == SpeckleDomain::complex) {
        const float* from = x ? x->as<const float>() : nullptr;
        py::gil_scoped_release nogil;
        if (!out.cuda) return speckle_complex_cpu(from, a, threads, out.as<float>());
#ifdef SARCORE_HAS_CUDA
        speckle_complex_cuda(from, a, out.as<float>(), out.device, out.stream);
#endif
        return false;
    }
    bool negative = false;
    dispatch_floating(out, "x", [&](auto element) {
        using T = decltype(element);
        const T* from = x ? x->as<const T>() : nullptr;
        py::gil_scoped_release nogil;
        if (!out.cuda) {
            negative = speckle_cpu<T>(from, a, threads, out.as<T>());
            return;
        }
#ifdef SARCORE_HAS_CUDA
        speckle_cuda<T>(from, a, out.as<T>(), out.device, out.stream);
#endif
    });
    return negative;
}

bool speckle(const std::optional<TensorView>& x, const std::optional<TensorView>& mask, const TensorView& out,
             double looks, const std::optional<TensorView>& looks_of, const std::optional<TensorView>& index, int64_t y,
             int64_t x_origin, const std::optional<TensorView>& origin, uint64_t seed, const std::string& domain,
             double texture, const std::optional<TensorView>& taps_y, const std::optional<TensorView>& taps_x,
             bool conjugate, bool refuse, int threads) {
    SpeckleArguments a{};
    a.domain = domain_of(domain);
    require_images(x, mask, out, a.domain == SpeckleDomain::complex);
    a.count = out.shape[0], a.channels = out.shape[1], a.height = out.shape[2], a.width = out.shape[3];
    a.mask = mask ? mask->as<const uint8_t>() : nullptr;
    a.looks = static_cast<float>(looks);
    a.looks_of = per_image<float>(looks_of, "looks", DType::f32, 1, out);
    a.index = per_image<int64_t>(index, "index", DType::i64, 1, out);
    a.origin = per_image<int64_t>(origin, "origin", DType::i64, 2, out);
    a.y = y, a.x = x_origin, a.seed = seed, a.conjugate = conjugate, a.refuse = refuse;
    a.texture = static_cast<float>(texture);
    a.taps_y = taps_of(taps_y, "psf", out, a.radius_y);
    a.taps_x = taps_of(taps_x, "psf", out, a.radius_x);
    if ((a.taps_x == nullptr) != (a.taps_y == nullptr)) throw py::value_error("psf must have taps along both axes");
    prefer_huge_pages(out);
    return run(x, a, threads, out);
}

}  // namespace

void bind_speckle(py::module_& m) {
    m.def("speckle", &speckle, py::arg("x").none(true), py::arg("mask").none(true), py::arg("out"), py::arg("looks"),
          py::arg("looks_of").none(true), py::arg("index").none(true), py::arg("y"), py::arg("x_origin"),
          py::arg("origin").none(true), py::arg("seed"), py::arg("domain"), py::arg("texture"),
          py::arg("taps_y").none(true), py::arg("taps_x").none(true), py::arg("conjugate"), py::arg("refuse"),
          py::arg("threads"),
          "Writes x with speckle, or the field alone where x is None; complex images are pairs of floats. True where a "
          "valid intensity or amplitude was negative (CPU).");
    m.def(
        "philox",
        [](std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
            const Words words = philox(counter[0], counter[1], counter[2], counter[3], key[0], key[1]);
            return std::array<uint32_t, 4>{words.w[0], words.w[1], words.w[2], words.w[3]};
        },
        py::arg("counter"), py::arg("key"), "Four words of Philox4x32-10, to compare with its known answers.");
}

}  // namespace sarcore
