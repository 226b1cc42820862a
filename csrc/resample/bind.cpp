// Python entry points of resample: argument checks, dispatch on device and dtype.
#include "common/checks.h"
#include "common/pages.h"
#include "resample/kernels.h"

namespace sarcore {

namespace {

Resampling mode_of(const std::string& name) {
    return choose<Resampling>("mode", name,
                              {{"nearest", Resampling::nearest},
                               {"nearest-exact", Resampling::nearest_exact},
                               {"bilinear", Resampling::bilinear},
                               {"bicubic", Resampling::bicubic},
                               {"lanczos", Resampling::lanczos},
                               {"area", Resampling::area}});
}

// From (height, width) to (to_height, to_width). A filter is stretched where any axis shrinks, as PyTorch decides.
Geometry geometry_of(const std::string& mode_name, bool antialias, bool wide, std::pair<int64_t, int64_t> from,
                     std::pair<int64_t, int64_t> to, std::pair<double, double> scale, bool backward) {
    const Resampling mode = mode_of(mode_name);
    constexpr int64_t longest = int64_t{1} << 31;
    if (std::min({from.first, from.second, to.first, to.second}) < 1 ||
        std::max({from.first, from.second, to.first, to.second}) >= longest)
        throw py::value_error("heights and widths must be 1 to 2147483647");
    const bool shrinks = to.first < from.first || to.second < from.second;
    const bool filtered = mode == Resampling::bilinear || mode == Resampling::bicubic || mode == Resampling::lanczos;
    const bool stretched = antialias && shrinks && filtered;
    return {axis_of(mode, stretched, !wide, from.first, to.first, scale.first),
            axis_of(mode, stretched, !wide, from.second, to.second, scale.second), backward};
}

template <typename Body>
void dispatch_resampled(const TensorView& x, Body&& body) {
    if (x.dtype == DType::i16) return body(int16_t{});
    if (x.dtype == DType::c64) return body(float{});
    dispatch_real(x, "x", body);
}

[[maybe_unused]] void* workspace_of(const std::optional<TensorView>& workspace, const TensorView& x, int64_t bytes) {
    if (!x.cuda) return nullptr;
    if (!workspace || !workspace->cuda || !workspace->contiguous() ||
        workspace->numel() * workspace->itemsize() < bytes)
        throw py::value_error("workspace must be a contiguous CUDA tensor of " + std::to_string(bytes) + " bytes");
    require_same_device(*workspace, "workspace", x, "x");
    return workspace->data;
}

struct Arguments {
    const TensorView &in, &out;
    const std::optional<TensorView>&upstream, &workspace;
    Finish finish;
    int threads;
};

void launch(const Arguments& a, const Geometry& geometry) {
    const int components = a.in.dtype == DType::c64 ? 2 : 1;
    const int64_t planes = a.in.shape[0] * a.in.shape[1];
    require_cuda_build(a.in, "x");
    prefer_huge_pages(a.out);
    dispatch_resampled(a.in, [&](auto element) {
        using T = decltype(element);
        const T* upstream = a.upstream ? a.upstream->as<const T>() : nullptr;
        if (!a.in.cuda) {
            py::gil_scoped_release nogil;
            return resample_cpu<T>(a.in.as<const T>(), planes, components, geometry, a.finish, upstream, a.threads,
                                   a.out.as<T>());
        }
#ifdef SARCORE_HAS_CUDA
        void* space = workspace_of(a.workspace, a.in, resample_workspace(geometry, a.in.dtype == DType::f64));
        py::gil_scoped_release nogil;
        resample_cuda<T>(a.in.as<const T>(), planes, components, geometry, a.finish, upstream, space, a.out.as<T>(),
                         a.in.device, a.in.stream);
#endif
    });
}

// ------ entry points

void resample(const TensorView& x, const TensorView& out, const std::optional<TensorView>& upstream,
              const std::optional<TensorView>& workspace, const std::string& mode, bool antialias,
              std::pair<double, double> scale, std::optional<double> low, std::optional<double> high, int threads) {
    require_layout(x, "x", 4);
    require_layout(out, "out", 4);
    require_output(out, "out", x.dtype, x, {x.shape[0], x.shape[1], out.shape[2], out.shape[3]});
    if (upstream)
        require_output(*upstream, "gradient", x.dtype, x, {out.shape[0], out.shape[1], out.shape[2], out.shape[3]});
    if (low.has_value() != high.has_value()) throw py::value_error("low and high must both be given or neither");
    require(!low || x.dtype != DType::c64, "x", x, "real where low and high are given");
    const Geometry geometry = geometry_of(mode, antialias, x.dtype == DType::f64, {x.shape[2], x.shape[3]},
                                          {out.shape[2], out.shape[3]}, scale, false);
    launch({x, out, upstream, workspace, {low.has_value(), low.value_or(0.0), high.value_or(0.0)}, threads}, geometry);
}

void resample_backward(const TensorView& gradient, const TensorView& out, const std::optional<TensorView>& workspace,
                       const std::string& mode, bool antialias, std::pair<double, double> scale, int threads) {
    require_layout(gradient, "gradient", 4);
    require_layout(out, "out", 4);
    require_output(out, "out", gradient.dtype, gradient,
                   {gradient.shape[0], gradient.shape[1], out.shape[2], out.shape[3]});
    const Geometry geometry = geometry_of(mode, antialias, gradient.dtype == DType::f64, {out.shape[2], out.shape[3]},
                                          {gradient.shape[2], gradient.shape[3]}, scale, true);
    launch({gradient, out, std::nullopt, workspace, {false, 0.0, 0.0}, threads}, geometry);
}

int64_t workspace_bytes(std::pair<int64_t, int64_t> from, std::pair<int64_t, int64_t> to, const std::string& mode,
                        bool antialias, std::pair<double, double> scale, bool wide, bool backward) {
    const Geometry geometry = geometry_of(mode, antialias, wide, from, to, scale, backward);
#ifdef SARCORE_HAS_CUDA
    return resample_workspace(geometry, wide);
#else
    (void)geometry;
    return 0;
#endif
}

}  // namespace

void bind_resample(py::module_& m) {
    m.def("resample", &resample, py::arg("x"), py::arg("out"), py::arg("upstream").none(true),
          py::arg("workspace").none(true), py::arg("mode"), py::arg("antialias"), py::arg("scale"),
          py::arg("low").none(true), py::arg("high").none(true), py::arg("threads"),
          "Writes x (N, C, H, W) resampled to the size of out; with upstream that gradient where nothing was clamped.");
    m.def("resample_backward", &resample_backward, py::arg("gradient"), py::arg("out"), py::arg("workspace").none(true),
          py::arg("mode"), py::arg("antialias"), py::arg("scale"), py::arg("threads"),
          "Writes the gradient with respect to x into out, which has its size.");
    m.def("resample_workspace", &workspace_bytes, py::arg("input"), py::arg("output"), py::arg("mode"),
          py::arg("antialias"), py::arg("scale"), py::arg("wide"), py::arg("backward"),
          "Bytes of device workspace that resample and resample_backward need on CUDA.");
}

}  // namespace sarcore
