// Python entry points of the histogram loss: argument checks, dispatch on device and dtype.
#include "common/checks.h"
#include "histogram/bind_checks.h"
#include "histogram_loss/kernels.h"

namespace sarcore {

namespace {

struct LossArguments {
    double lo, hi, omega;
    std::string distance, spatial, normalize, kernel;
};

LossSettings settings_of(const LossArguments& a, int bins, int64_t channels) {
    LossSettings s;
    s.axis = require_axis(a.lo, a.hi, bins);
    s.omega = a.omega;
    s.distance =
        choose<Distance>("distance", a.distance, {{"l2", Distance::l2}, {"l1", Distance::l1}, {"emd", Distance::emd}});
    s.spatial = choose<Spatial>("spatial", a.spatial, {{"l2", Spatial::l2}, {"l1", Spatial::l1}});
    s.probability = choose<bool>("normalize", a.normalize, {{"probability", true}, {"count", false}});
    s.kernel = kernel_of(a.kernel);
    s.channels = channels > 0 ? channels : 1;  // no channel, no image: nothing divides by it
    return s;
}

void require_pair(const TensorView& x, const TensorView& y, const TensorView& table) {
    require_layout(x, "input", 4);
    require_layout(y, "target", 4);
    require_layout(table, "table", 3);
    require_same_shape(y, "target", x, "input");
    require_same_device(y, "target", x, "input");
    require(y.dtype == x.dtype, "target", y, "of the dtype of input " + x.describe());
    require(table.shape[2] >= 3, "table", table, "(N, C, bins + 1)");
    require_output(table, "table", result_dtype(x), x, {x.shape[0], x.shape[1], table.shape[2]});
    require_cuda_build(x, "input");
}

void histogram_loss(const TensorView& x, const TensorView& y, const std::optional<TensorView>& mask,
                    const TensorView& loss, const TensorView& table, const std::optional<TensorView>& workspace,
                    double lo, double hi, double omega, const std::string& distance, const std::string& spatial,
                    const std::string& normalize, const std::string& kernel, int threads) {
    require_pair(x, y, table);
    const LossSettings s = settings_of({lo, hi, omega, distance, spatial, normalize, kernel},
                                       static_cast<int>(table.shape[2]) - 1, x.shape[1]);
    require_output(loss, "loss", result_dtype(x), x, {x.shape[0]});
    const uint8_t* m = mask_pointer(mask, x);
    const Images images = images_of(x);
    dispatch_real(x, "input", [&](auto element) {
        using T = decltype(element);
        using F = compute_t<T>;
        if (!x.cuda) {
            py::gil_scoped_release nogil;
            return histogram_loss_cpu<T>(x.as<const T>(), y.as<const T>(), m, images, s, threads, loss.as<F>(),
                                         table.as<F>());
        }
#ifdef SARCORE_HAS_CUDA
        void* space = require_workspace(workspace, x, histogram_loss_workspace(images, s.axis.bins));
        py::gil_scoped_release nogil;
        histogram_loss_cuda<T>(x.as<const T>(), y.as<const T>(), m, images, s, space, loss.as<F>(), table.as<F>(),
                               x.device, x.stream);
#else
        (void)workspace;
#endif
    });
}

void histogram_loss_backward(const TensorView& gradient, const TensorView& x, const TensorView& y,
                             const std::optional<TensorView>& mask, const TensorView& table,
                             const std::optional<TensorView>& out_x, const std::optional<TensorView>& out_y, double lo,
                             double hi, const std::string& spatial, int threads) {
    require_pair(x, y, table);
    const LossSettings s = settings_of({lo, hi, 0.0, "l2", spatial, "probability", "linear"},
                                       static_cast<int>(table.shape[2]) - 1, x.shape[1]);
    require_layout(gradient, "gradient", 1);
    require(gradient.shape[0] == x.shape[0] && gradient.dtype == result_dtype(x), "gradient", gradient,
            "(N,) of the dtype of the loss");
    require_same_device(gradient, "gradient", x, "input");
    if (out_x) require_output(*out_x, "out_input", x.dtype, x, {x.shape[0], x.shape[1], x.shape[2], x.shape[3]});
    if (out_y) require_output(*out_y, "out_target", x.dtype, x, {x.shape[0], x.shape[1], x.shape[2], x.shape[3]});
    const uint8_t* m = mask_pointer(mask, x);
    const Images images = images_of(x);
    dispatch_floating(x, "input", [&](auto element) {
        using T = decltype(element);
        using F = compute_t<T>;
        T* gx = out_x ? out_x->as<T>() : nullptr;
        T* gy = out_y ? out_y->as<T>() : nullptr;
        py::gil_scoped_release nogil;
        if (!x.cuda)
            return histogram_loss_backward_cpu<T>(gradient.as<const F>(), x.as<const T>(), y.as<const T>(), m,
                                                  table.as<const F>(), images, s, threads, gx, gy);
#ifdef SARCORE_HAS_CUDA
        histogram_loss_backward_cuda<T>(gradient.as<const F>(), x.as<const T>(), y.as<const T>(), m,
                                        table.as<const F>(), images, s, gx, gy, x.device, x.stream);
#endif
    });
}

}  // namespace

void bind_histogram_loss(py::module_& m) {
    m.def("histogram_loss", &histogram_loss, py::arg("input"), py::arg("target"), py::arg("mask").none(true),
          py::arg("loss"), py::arg("table"), py::arg("workspace").none(true), py::arg("lo"), py::arg("hi"),
          py::arg("omega"), py::arg("distance"), py::arg("spatial"), py::arg("normalize"), py::arg("kernel"),
          py::arg("threads"), "Writes the loss per image (N,) and the gradient table (N, C, bins + 1).");
    m.def("histogram_loss_backward", &histogram_loss_backward, py::arg("gradient"), py::arg("input"), py::arg("target"),
          py::arg("mask").none(true), py::arg("table"), py::arg("out_input").none(true),
          py::arg("out_target").none(true), py::arg("lo"), py::arg("hi"), py::arg("spatial"), py::arg("threads"),
          "Writes the gradients with respect to input and target; None where one is not wanted.");
    m.def(
        "histogram_loss_workspace",
        [](int64_t count, int64_t pixels, int bins) { return histogram_loss_workspace({count, pixels}, bins); },
        py::arg("count"), py::arg("pixels"), py::arg("bins"),
        "Bytes of device workspace that histogram_loss needs on CUDA.");
}

}  // namespace sarcore
