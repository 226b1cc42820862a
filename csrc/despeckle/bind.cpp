// Python entry point of the speckle filters: argument checks, dispatch on device and dtype.
#include <cmath>
#include <sstream>

#include "common/checks.h"
#include "common/pages.h"
#include "despeckle/kernels.h"

namespace sarcore {

namespace {

Method method_of(const std::string& name) {
    return choose<Method>("method", name,
                          {{"boxcar", Method::boxcar},
                           {"lee", Method::lee},
                           {"enhanced_lee", Method::enhanced_lee},
                           {"kuan", Method::kuan},
                           {"gamma_map", Method::gamma_map},
                           {"enl", Method::enl},
                           {"frost", Method::frost},
                           {"refined_lee", Method::refined_lee}});
}

Domain domain_of(const std::string& name) {
    return choose<Domain>(
        "domain", name,
        {{"intensity", Domain::intensity}, {"amplitude", Domain::amplitude}, {"db", Domain::db}, {"log", Domain::log}});
}

void require_filter(const Filter& f, const TensorView& x) {
    const auto number = [](double v) {
        std::ostringstream text;
        text << v;
        return text.str();
    };
    if (f.window < 3 || f.window > kLargestWindow || f.window % 2 == 0)
        throw py::value_error("window must be odd and 3 to 31, got " + std::to_string(f.window));
    if (f.method == Method::refined_lee && f.window != 7)
        throw py::value_error("window must be 7 for refined_lee, got " + std::to_string(f.window));
    if (!(f.looks > 0.0 && std::isfinite(f.looks)))
        throw py::value_error("looks must be positive and finite, got " + number(f.looks));
    if (!(f.damping >= 0.0 && std::isfinite(f.damping)))
        throw py::value_error("damping must be finite and not negative, got " + number(f.damping));
    const bool empty = x.numel() == 0;
    require(empty || (x.shape[2] >= f.window && x.shape[3] >= f.window), "x", x,
            "at least as high and wide as the window of " + std::to_string(f.window));
}

void despeckle(const TensorView& x, const std::optional<TensorView>& mask, const TensorView& out,
               const std::string& method, int window, double looks, const std::string& domain, double damping,
               int threads) {
    require_layout(x, "x", 4);
    require_output(out, "out", x.dtype, x, {x.shape[0], x.shape[1], x.shape[2], x.shape[3]});
    const Filter filter{method_of(method), domain_of(domain), window, looks, damping};
    require_filter(filter, x);
    const uint8_t* m = mask_pointer(mask, x);
    const Planes planes{x.shape[0] * x.shape[1], x.shape[2], x.shape[3]};
    require_cuda_build(x, "x");
    double lowest = 0.0;
    prefer_huge_pages(out);
    dispatch_floating(x, "x", [&](auto element) {
        using T = decltype(element);
        py::gil_scoped_release nogil;
        if (!x.cuda) {
            lowest = despeckle_cpu<T>(x.as<const T>(), m, planes, filter, threads, out.as<T>());
            return;
        }
#ifdef SARCORE_HAS_CUDA
        despeckle_cuda<T>(x.as<const T>(), m, planes, filter, out.as<T>(), x.device, x.stream);
#endif
    });
    if (lowest < 0.0) {
        std::ostringstream text;
        text << "x holds negative " << (filter.domain == Domain::amplitude ? "amplitudes" : "intensities")
             << " (smallest " << lowest
             << "); if these are decibels pass domain='db', if they are no-data pass a mask that is False there";
        throw py::value_error(text.str());
    }
}

}  // namespace

void bind_despeckle(py::module_& m) {
    m.def("despeckle", &despeckle, py::arg("x"), py::arg("mask").none(true), py::arg("out"), py::arg("method"),
          py::arg("window"), py::arg("looks"), py::arg("domain"), py::arg("damping"), py::arg("threads"),
          "Writes the filtered x (N, C, H, W), or its local number of looks (method enl), into out.");
}

}  // namespace sarcore
