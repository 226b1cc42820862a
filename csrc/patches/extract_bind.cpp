// Python entry points of extract_patches: argument checks, dispatch on device and dtypes, the refusals.
#include "common/checks.h"
#include "common/pages.h"
#include "patches/extract.h"
#include "radiometry/bind_checks.h"

namespace sarcore {

namespace {

using Pair = std::pair<int64_t, int64_t>;

// ------ arguments

Pad pad_of(const std::string& name) {
    return choose<Pad>("pad", name, {{"reflect", Pad::reflect}, {"edge", Pad::edge}, {"constant", Pad::constant}});
}

// (C, H, W), (P, C, h, w) and either the positions or the strides of a grid.
PatchLayout layout_of(const int64_t* scene, const TensorView& patches, const std::optional<TensorView>& index,
                      Pair stride, const std::string& pad) {
    require_layout(patches, "patches", 4);
    require(patches.shape[1] == scene[0], "patches", patches, "of as many channels as the scene");
    PatchLayout l{scene[0], scene[1], scene[2], patches.shape[0], patches.shape[2], patches.shape[3],
                  0,        0,        0,        nullptr,          pad_of(pad)};
    if (l.height < 1 || l.width < 1 || l.h < 1 || l.w < 1)
        throw py::value_error("scene and patches must have one pixel or more along each side");
    if (index) {
        require_layout(*index, "index", 2);
        require(index->dtype == DType::i64 && index->shape[0] == l.count && index->shape[1] == 2, "index", *index,
                "int64 of shape (P, 2)");
        require_same_device(*index, "index", patches, "patches");
        l.index = index->as<const int64_t>();
        return l;
    }
    if (stride.first < 1 || stride.second < 1) throw py::value_error("stride must be 1 or more");
    const auto fits = [](int64_t length, int64_t size, int64_t step) {
        if (length <= size) return int64_t{1};
        return std::min((length - size + step - 1) / step, (length - 1) / step) + 1;
    };
    l.down = stride.first;
    l.right = stride.second;
    l.across = fits(l.width, l.w, l.right);
    require(l.count == l.across * fits(l.height, l.h, l.down), "patches", patches, "as many as the grid has");
    return l;
}

// Every patch of a list must overlap the scene: a typing error would else give patches of nothing but padding.
void require_overlap(const int64_t* index, int64_t count, Pair scene, Pair size) {
    for (int64_t k = 0; k < count; ++k) {
        const int64_t row = index[2 * k], column = index[2 * k + 1];
        if (row > -size.first && row < scene.first && column > -size.second && column < scene.second) continue;
        const auto range = [](int64_t length, int64_t side) {
            return std::to_string(1 - side) + " to " + std::to_string(length - 1);
        };
        throw py::value_error("index must hold positions whose patches overlap the scene: rows " +
                              range(scene.first, size.first) + " and columns " + range(scene.second, size.second) +
                              ", got (" + std::to_string(row) + ", " + std::to_string(column) + ") at position " +
                              std::to_string(k));
    }
}

// ------ conversions

template <typename T, typename Out>
constexpr bool castable() {
#define SARCORE_IS(A, B) || (std::is_same_v<T, A> && std::is_same_v<Out, B>)
    return false SARCORE_FOR_CASTS(SARCORE_IS);
#undef SARCORE_IS
}

template <typename Out>
constexpr bool encodable() {
    return !std::is_same_v<Out, int16_t> && !std::is_same_v<Out, int32_t> && !std::is_same_v<Out, int64_t> &&
           !std::is_same_v<Out, Complex64>;
}

template <typename Body>
void dispatch_output(const TensorView& out, Body&& body) {
    if (out.dtype == DType::i16) return body(int16_t{});
    if (out.dtype == DType::i32) return body(int32_t{});
    if (out.dtype == DType::i64) return body(int64_t{});
    if (out.dtype == DType::c64) return body(Complex64{});
    dispatch_real(out, "patches", body);
}

// body(T{}, Out{}) for the pairs that there are.
template <typename Body>
void dispatch_conversion(const TensorView& scene, const TensorView& out, bool encode, const Body& body) {
    dispatch_input(scene, "scene", [&](auto element) {
        using T = decltype(element);
        if (encode) return dispatch_real(out, "patches", [&](auto result) { body(T{}, result); });
        dispatch_output(out, [&](auto result) {
            if constexpr (castable<T, decltype(result)>())
                body(T{}, result);
            else
                require(false, "patches", out, "of a dtype to which the scene casts without loss");
        });
    });
}

Conversion conversion_of(const TensorView& scene, const TensorView& out, const std::optional<Radiometry>& r, Pad pad) {
    const int64_t pixels = std::min(scene.numel(), out.numel());
    Conversion conversion;
    dispatch_conversion(scene, out, r.has_value(), [&](auto element, auto result) {
        using T = decltype(element);
        using Out = decltype(result);
        if constexpr (encodable<Out>()) {
            if (r) conversion = conversion_by_radiometry<T, Out>(*r, pad, pixels);
        }
        if constexpr (castable<T, Out>()) {
            if (!r) conversion = conversion_by_cast<T, Out>();
        }
    });
    return conversion;
}

// ------ refusals

// The whole scene, each pixel once: patches overlap and repeat pixels, so their counts would say little.
template <typename T>
void refuse_scene(const TensorView& scene, const Radiometry& r, const std::string& unit, bool integer_out) {
    const double nodata = declared_nodata<T>(r);
    Seen seen;
    Extremes found;
    py::gil_scoped_release nogil;
    for (int64_t c = 0; c < scene.shape[0]; ++c)
        for (int64_t y = 0; y < scene.shape[1]; ++y)
            for (int64_t x = 0; x < scene.shape[2]; ++x) {
                const T* at = scene.as<const T>() + c * scene.strides[0] + y * scene.strides[1] + x * scene.strides[2];
                const double v = load_value<double>(*at, nodata);
                seen.add({v < 0.0, v > 100.0, v != v});
                found.add(v);
            }
    refuse_contradictions("scene", scene.numel(), r, unit, seen, integer_out, [&] { return found; });
}

// ------ entry points

// The numbers of the patches sorted by rows, where they were given.
const int64_t* order_of(const std::optional<TensorView>& order, const PatchLayout& layout, const TensorView& out) {
    if (!order) return nullptr;
    if (!layout.index) throw py::value_error("order must be None without index");
    require_layout(*order, "order", 1);
    require(order->dtype == DType::i64 && order->shape[0] == layout.count, "order", *order, "int64 of shape (P,)");
    require_same_device(*order, "order", out, "patches");
    return order->as<const int64_t>();
}

#ifdef SARCORE_HAS_CUDA
void launch(const PatchLayout& layout, const int64_t* order, const TensorView& scene,
            const std::optional<Radiometry>& radiometry, const TensorView& out, unsigned long long* counts) {
    require(scene.contiguous(), "scene", scene, "contiguous on a CUDA device");
    dispatch_conversion(scene, out, radiometry.has_value(), [](auto, auto) {});  // refuses a pair that there is not
    py::gil_scoped_release nogil;
    extract_cuda(layout, order, scene.dtype, scene.data, radiometry ? &*radiometry : nullptr, out.dtype, out.data,
                 counts, out.device, out.stream);
}
#endif

void extract_patches(const TensorView& scene, const TensorView& out, const std::optional<TensorView>& counts,
                     const std::optional<TensorView>& index, const std::optional<TensorView>& order, Pair stride,
                     const std::string& pad, const std::optional<std::string>& unit, const std::string& scale,
                     double low, double high, bool reserve, std::optional<double> nodata, int threads) {
    require(scene.ndim == 3, "scene", scene, "(C, H, W)");
    require_same_device(out, "patches", scene, "the scene");
    require(out.writable, "patches", out, "writable");
    const PatchLayout layout = layout_of(scene.shape, out, index, stride, pad);
    std::optional<Radiometry> radiometry;
    if (unit) {
        radiometry = radiometry_of(*unit, scale, low, high, reserve, nodata);
        require((scene.dtype == DType::c64) == (radiometry->unit == Unit::complex), "scene", scene,
                "complex64 for unit 'complex' and only then");
    }
    if (counts) require_output(*counts, "counts", DType::i64, scene, {layout.count});
    require_cuda_build(scene, "scene");
    prefer_huge_pages(out);
    const int64_t* sorted = order_of(order, layout, out);
#ifdef SARCORE_HAS_CUDA
    if (scene.cuda)
        return launch(layout, sorted, scene, radiometry, out, counts ? counts->as<unsigned long long>() : nullptr);
#endif
    (void)sorted;
    if (index) require_overlap(layout.index, layout.count, {layout.height, layout.width}, {layout.h, layout.w});
    const Conversion conversion = conversion_of(scene, out, radiometry, layout.pad);
    const SceneView view{scene.as<const unsigned char>(), scene.strides[0], scene.strides[1], scene.strides[2]};
    Seen seen;
    {
        py::gil_scoped_release nogil;
        seen = extract_cpu(layout, view, conversion, threads, out.as<unsigned char>(),
                           counts ? counts->as<int64_t>() : nullptr);
    }
    const bool integer_out = out.dtype == DType::u8 || out.dtype == DType::u16;
    if (radiometry && suspicious(*radiometry, seen, integer_out))
        dispatch_input(scene, "scene",
                       [&](auto element) { refuse_scene<decltype(element)>(scene, *radiometry, *unit, integer_out); });
}

// body(T{}, G{}): the pairs that a gradient has, real to real and complex to anything.
template <typename Body>
void dispatch_gradient(const TensorView& out, const TensorView& gradient, Body&& body) {
    const auto with = [&](auto element) {
        using T = decltype(element);
        if constexpr (std::is_same_v<T, Complex64>) {
            if (gradient.dtype == DType::c64) return body(element, Complex64{});
        }
        dispatch_floating(gradient, "gradient", [&](auto upstream) { body(element, upstream); });
    };
    if (out.dtype == DType::c64) return with(Complex64{});
    dispatch_floating(out, "out", with);
}

void extract_patches_backward(const TensorView& gradient, const std::optional<TensorView>& scene, const TensorView& out,
                              const std::optional<TensorView>& index, const std::optional<TensorView>& order,
                              Pair stride, const std::string& pad, const std::optional<std::string>& unit,
                              const std::string& scale, double low, double high, bool reserve,
                              std::optional<double> nodata, int threads) {
    require_layout(out, "out", 3);
    require(out.writable, "out", out, "writable");
    require_same_device(gradient, "gradient", out, "out");
    const PatchLayout layout = layout_of(out.shape, gradient, index, stride, pad);
    require(unit.has_value() == scene.has_value(), "out", out, "given with the scene if there is a radiometry");
    std::optional<Radiometry> radiometry;
    if (unit) {
        require_output(*scene, "scene", out.dtype, out, {layout.channels, layout.height, layout.width});
        radiometry = radiometry_of(*unit, scale, low, high, reserve, nodata);
    }
    require((gradient.dtype == DType::c64) == (out.dtype == DType::c64 && !unit), "gradient", gradient,
            "complex64 for a complex scene without a radiometry and only then");
    require_cuda_build(out, "out");
    prefer_huge_pages(out);
    const int64_t* sorted = order_of(order, layout, out);
    require(!out.cuda || !index || sorted, "out", out, "given with index and order on a CUDA device");
    if (index && !out.cuda)
        require_overlap(layout.index, layout.count, {layout.height, layout.width}, {layout.h, layout.w});
    dispatch_gradient(out, gradient, [&](auto element, auto upstream) {
        using T = decltype(element);
        using G = decltype(upstream);
        const T* pixels = scene ? scene->as<const T>() : nullptr;
        const Radiometry* declared = radiometry ? &*radiometry : nullptr;
        py::gil_scoped_release nogil;
#ifdef SARCORE_HAS_CUDA
        if (out.cuda)
            return extract_backward_cuda(layout, sorted, gradient.dtype, gradient.data, out.dtype, pixels, declared,
                                         out.data, out.device, out.stream);
#endif
        extract_backward_cpu<T, G>(layout, gradient.as<const G>(), pixels, declared, threads, out.as<T>());
    });
}

void check_positions(const TensorView& index, Pair scene, Pair size) {
    require_layout(index, "index", 2);
    require(index.dtype == DType::i64 && index.shape[1] == 2 && !index.cuda, "index", index, "int64 of shape (K, 2)");
    require_overlap(index.as<const int64_t>(), index.shape[0], scene, size);
}

}  // namespace

void bind_extract_patches(py::module_& m) {
    m.def("extract_patches", &extract_patches, py::arg("scene"), py::arg("out"), py::arg("counts").none(true),
          py::arg("index").none(true), py::arg("order").none(true), py::arg("stride"), py::arg("pad"),
          py::arg("unit").none(true), py::arg("scale"), py::arg("low"), py::arg("high"), py::arg("reserve"),
          py::arg("nodata").none(true), py::arg("threads"),
          "Writes the patches of a scene (C, H, W) into out (P, C, h, w), adds their pixels with data to counts.");
    m.def("extract_patches_backward", &extract_patches_backward, py::arg("gradient"), py::arg("scene").none(true),
          py::arg("out"), py::arg("index").none(true), py::arg("order").none(true), py::arg("stride"), py::arg("pad"),
          py::arg("unit").none(true), py::arg("scale"), py::arg("low"), py::arg("high"), py::arg("reserve"),
          py::arg("nodata").none(true), py::arg("threads"),
          "Writes the gradient of extract_patches with respect to the scene into out (C, H, W).");
    m.def("check_positions", &check_positions, py::arg("index"), py::arg("scene"), py::arg("size"),
          "Raises ValueError where a patch at one of the positions (K, 2) does not overlap the scene.");
}

}  // namespace sarcore
