// Python entry points of the histogram: argument checks, dispatch on device and dtype.
#include "common/checks.h"
#include "histogram/bind_checks.h"
#include "histogram/kernels.h"

namespace sarcore {

namespace {

void soft_histogram(const TensorView& x, const std::optional<TensorView>& mask, const TensorView& out,
                    const std::optional<TensorView>& workspace, double lo, double hi, const std::string& kernel_name,
                    int threads) {
    require_layout(x, "x", 4);
    require_layout(out, "out", 3);
    const Axis axis = require_axis(lo, hi, static_cast<int>(out.shape[2]));
    const Images images = images_of(x);
    require_output(out, "out", result_dtype(x), x, {x.shape[0], x.shape[1], axis.bins});
    const uint8_t* m = mask_pointer(mask, x);
    const Kernel kernel = kernel_of(kernel_name);
    require_cuda_build(x, "x");
    dispatch_real(x, "x", [&](auto element) {
        using T = decltype(element);
        using F = compute_t<T>;
        if (!x.cuda) {
            py::gil_scoped_release nogil;
            return histogram_cpu<T>(x.as<const T>(), m, images, axis, kernel, threads, out.as<F>());
        }
#ifdef SARCORE_HAS_CUDA
        void* space = require_workspace(workspace, x, histogram_workspace(images, axis, sizeof(F)));
        py::gil_scoped_release nogil;
        histogram_cuda<T>(x.as<const T>(), m, images, axis, kernel, space, out.as<F>(), x.device, x.stream);
#else
        (void)workspace;
#endif
    });
}

void soft_histogram_backward(const TensorView& gradient, const TensorView& x, const std::optional<TensorView>& mask,
                             const TensorView& out, double lo, double hi, int threads) {
    require_layout(x, "x", 4);
    require_layout(gradient, "gradient", 3);
    const Axis axis = require_axis(lo, hi, static_cast<int>(gradient.shape[2]));
    require(gradient.shape[0] == x.shape[0] && gradient.shape[1] == x.shape[1], "gradient", gradient,
            "(N, C, bins) with the N and C of x");
    require(gradient.dtype == result_dtype(x), "gradient", gradient, "of the dtype of the histogram");
    require_same_device(gradient, "gradient", x, "x");
    require_output(out, "out", x.dtype, x, {x.shape[0], x.shape[1], x.shape[2], x.shape[3]});
    const uint8_t* m = mask_pointer(mask, x);
    const Images images = images_of(x);
    require_cuda_build(x, "x");
    dispatch_floating(x, "x", [&](auto element) {
        using T = decltype(element);
        using F = compute_t<T>;
        py::gil_scoped_release nogil;
        if (!x.cuda)
            return histogram_backward_cpu<T>(gradient.as<const F>(), x.as<const T>(), m, images, axis, threads,
                                             out.as<T>());
#ifdef SARCORE_HAS_CUDA
        histogram_backward_cuda<T>(gradient.as<const F>(), x.as<const T>(), m, images, axis, out.as<T>(), x.device,
                                   x.stream);
#endif
    });
}

}  // namespace

void bind_histogram(py::module_& m) {
    m.def("soft_histogram", &soft_histogram, py::arg("x"), py::arg("mask").none(true), py::arg("out"),
          py::arg("workspace").none(true), py::arg("lo"), py::arg("hi"), py::arg("kernel"), py::arg("threads"),
          "Writes the (N, C, bins) histogram of x (N, C, H, W) into out.");
    m.def("soft_histogram_backward", &soft_histogram_backward, py::arg("gradient"), py::arg("x"),
          py::arg("mask").none(true), py::arg("out"), py::arg("lo"), py::arg("hi"), py::arg("threads"),
          "Writes the gradient with respect to x of the linear histogram into out.");
    m.def(
        "soft_histogram_workspace",
        [](int64_t count, int64_t pixels, int bins, int element_size) {
            return histogram_workspace({count, pixels}, {0.0, 1.0, bins}, element_size);
        },
        py::arg("count"), py::arg("pixels"), py::arg("bins"), py::arg("element_size"),
        "Bytes of device workspace that soft_histogram needs on CUDA.");
}

}  // namespace sarcore
