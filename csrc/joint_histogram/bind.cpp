// Python entry points of the joint histogram: argument checks, dispatch on device and dtype.
#include "common/checks.h"
#include "histogram/bind_checks.h"
#include "joint_histogram/kernels.h"

namespace sarcore {

namespace {

struct Axes {
    Axis x, y;
};

// bins are the last two sizes of a (N, C, bins_x, bins_y) tensor.
Axes require_axes(const TensorView& histogram, const char* argument, double lo_x, double hi_x, double lo_y,
                  double hi_y) {
    require_layout(histogram, argument, 4);
    const int64_t bx = histogram.shape[2], by = histogram.shape[3];
    require(bx <= kMaxJointBins && by <= kMaxJointBins, argument, histogram,
            "of at most " + std::to_string(kMaxJointBins) + " bins per axis");
    return {require_axis(lo_x, hi_x, static_cast<int>(bx)), require_axis(lo_y, hi_y, static_cast<int>(by))};
}

void require_pair(const TensorView& x, const TensorView& y) {
    require_layout(x, "x", 4);
    require_layout(y, "y", 4);
    require_same_shape(y, "y", x, "x");
    require_same_device(y, "y", x, "x");
    require(y.dtype == x.dtype, "y", y, "of the dtype of x " + x.describe());
    require_cuda_build(x, "x");
}

void joint_histogram(const TensorView& x, const TensorView& y, const std::optional<TensorView>& mask,
                     const TensorView& out, const std::optional<TensorView>& workspace, double lo_x, double hi_x,
                     double lo_y, double hi_y, int threads) {
    require_pair(x, y);
    const Axes axes = require_axes(out, "out", lo_x, hi_x, lo_y, hi_y);
    require_output(out, "out", result_dtype(x), x, {x.shape[0], x.shape[1], axes.x.bins, axes.y.bins});
    const uint8_t* m = mask_pointer(mask, x);
    const Images images = images_of(x);
    dispatch_real(x, "x", [&](auto element) {
        using T = decltype(element);
        using F = compute_t<T>;
        if (!x.cuda) {
            py::gil_scoped_release nogil;
            return joint_histogram_cpu<T>(x.as<const T>(), y.as<const T>(), m, images, axes.x, axes.y, threads,
                                          out.as<F>());
        }
#ifdef SARCORE_HAS_CUDA
        if (sizeof(F) == 8 && images.pixels >= (int64_t{1} << 24))
            throw py::value_error("x must have fewer than 2^24 pixels per image in float64 on CUDA, got " +
                                  x.describe() + "; convert it to float32");
        void* space = require_workspace(workspace, x, joint_histogram_workspace(images, axes.x.bins, axes.y.bins));
        py::gil_scoped_release nogil;
        joint_histogram_cuda<T>(x.as<const T>(), y.as<const T>(), m, images, axes.x, axes.y, space, out.as<F>(),
                                x.device, x.stream);
#else
        (void)workspace;
#endif
    });
}

void joint_histogram_backward(const TensorView& gradient, const TensorView& x, const TensorView& y,
                              const std::optional<TensorView>& mask, const std::optional<TensorView>& out_x,
                              const std::optional<TensorView>& out_y, double lo_x, double hi_x, double lo_y,
                              double hi_y, int threads) {
    require_pair(x, y);
    const Axes axes = require_axes(gradient, "gradient", lo_x, hi_x, lo_y, hi_y);
    require(gradient.shape[0] == x.shape[0] && gradient.shape[1] == x.shape[1], "gradient", gradient,
            "(N, C, bins_x, bins_y) with the N and C of x");
    require(gradient.dtype == result_dtype(x), "gradient", gradient, "of the dtype of the histogram");
    require_same_device(gradient, "gradient", x, "x");
    if (out_x) require_output(*out_x, "out_x", x.dtype, x, {x.shape[0], x.shape[1], x.shape[2], x.shape[3]});
    if (out_y) require_output(*out_y, "out_y", x.dtype, x, {x.shape[0], x.shape[1], x.shape[2], x.shape[3]});
    const uint8_t* m = mask_pointer(mask, x);
    const Images images = images_of(x);
    dispatch_floating(x, "x", [&](auto element) {
        using T = decltype(element);
        using F = compute_t<T>;
        T* gx = out_x ? out_x->as<T>() : nullptr;
        T* gy = out_y ? out_y->as<T>() : nullptr;
        py::gil_scoped_release nogil;
        if (!x.cuda)
            return joint_histogram_backward_cpu<T>(gradient.as<const F>(), x.as<const T>(), y.as<const T>(), m, images,
                                                   axes.x, axes.y, threads, gx, gy);
#ifdef SARCORE_HAS_CUDA
        joint_histogram_backward_cuda<T>(gradient.as<const F>(), x.as<const T>(), y.as<const T>(), m, images, axes.x,
                                         axes.y, gx, gy, x.device, x.stream);
#endif
    });
}

}  // namespace

void bind_joint_histogram(py::module_& m) {
    m.def("joint_histogram", &joint_histogram, py::arg("x"), py::arg("y"), py::arg("mask").none(true), py::arg("out"),
          py::arg("workspace").none(true), py::arg("lo_x"), py::arg("hi_x"), py::arg("lo_y"), py::arg("hi_y"),
          py::arg("threads"), "Writes the (N, C, bins_x, bins_y) joint histogram of x and y into out.");
    m.def("joint_histogram_backward", &joint_histogram_backward, py::arg("gradient"), py::arg("x"), py::arg("y"),
          py::arg("mask").none(true), py::arg("out_x").none(true), py::arg("out_y").none(true), py::arg("lo_x"),
          py::arg("hi_x"), py::arg("lo_y"), py::arg("hi_y"), py::arg("threads"),
          "Writes the gradients with respect to x and y; None where one is not wanted.");
    m.def(
        "joint_histogram_workspace",
        [](int64_t count, int64_t pixels, int bins_x, int bins_y) {
            return joint_histogram_workspace({count, pixels}, bins_x, bins_y);
        },
        py::arg("count"), py::arg("pixels"), py::arg("bins_x"), py::arg("bins_y"),
        "Bytes of device workspace that joint_histogram needs on CUDA.");
}

}  // namespace sarcore
