// Python entry points of encode and decode: argument checks, dispatch on device and dtypes, the refusals.
#include "common/checks.h"
#include "common/pages.h"
#include "radiometry/bind_checks.h"

namespace sarcore {

namespace {

void require_flat(const TensorView& view, const char* argument, const TensorView& input) {
    require_layout(view, argument, 1);
    require(view.shape[0] == input.shape[0], argument, view, "of the size of the input");
    require_same_device(view, argument, input, "the input");
}

// ------ entry points

void encode(const TensorView& x, const TensorView& out, const std::string& unit, const std::string& scale, double low,
            double high, bool reserve, std::optional<double> nodata, int threads) {
    require_layout(x, "x", 1);
    require_flat(out, "out", x);
    require(out.writable, "out", out, "writable");
    const Radiometry r = radiometry_of(unit, scale, low, high, reserve, nodata);
    require((x.dtype == DType::c64) == (r.unit == Unit::complex), "x", x, "complex64 for unit 'complex' and only then");
    require_cuda_build(x, "x");
    prefer_huge_pages(out);
    const int64_t n = x.shape[0];
    dispatch_input(x, "x", [&](auto element) {
        using T = decltype(element);
        dispatch_real(out, "out", [&](auto result) {
            using Out = decltype(result);
            if (!x.cuda) {
                Seen seen;
                {
                    py::gil_scoped_release nogil;
                    seen = encode_cpu<T, Out>(x.as<const T>(), n, r, threads, out.as<Out>());
                }
                return refuse_contradictions("x", n, r, unit, seen, std::is_integral_v<Out>,
                                             [&] { return extremes(x.as<const T>(), n, declared_nodata<T>(r)); });
            }
#ifdef SARCORE_HAS_CUDA
            py::gil_scoped_release nogil;
            encode_cuda<T, Out>(x.as<const T>(), n, r, out.as<Out>(), x.device, x.stream);
#endif
        });
    });
}

void encode_backward(const TensorView& gradient, const TensorView& x, const TensorView& out, const std::string& unit,
                     const std::string& scale, double low, double high, std::optional<double> nodata, int threads) {
    require_layout(x, "x", 1);
    require_flat(gradient, "gradient", x);
    require_flat(out, "out", x);
    require(out.dtype == x.dtype && out.writable, "out", out, "writable and of the dtype of x");
    const Radiometry r = radiometry_of(unit, scale, low, high, nodata.has_value(), nodata);
    require((x.dtype == DType::c64) == (r.unit == Unit::complex), "x", x, "complex64 for unit 'complex' and only then");
    require_cuda_build(x, "x");
    prefer_huge_pages(out);
    const auto launch = [&](auto element) {
        using T = decltype(element);
        dispatch_floating(gradient, "gradient", [&](auto upstream) {
            using G = decltype(upstream);
            py::gil_scoped_release nogil;
            if (!x.cuda)
                return encode_backward_cpu<T, G>(gradient.as<const G>(), x.as<const T>(), x.shape[0], r, threads,
                                                 out.as<T>());
#ifdef SARCORE_HAS_CUDA
            encode_backward_cuda<T, G>(gradient.as<const G>(), x.as<const T>(), x.shape[0], r, out.as<T>(), x.device,
                                       x.stream);
#endif
        });
    };
    if (x.dtype == DType::c64) return launch(Complex64{});
    dispatch_floating(x, "x", launch);
}

DType decoded_dtype(const TensorView& q) { return q.dtype == DType::f64 ? DType::f64 : DType::f32; }

void decode(const TensorView& q, const TensorView& out, const std::string& unit, const std::string& scale, double low,
            double high, bool reserve, std::optional<double> nodata, int threads) {
    require_layout(q, "q", 1);
    require_output(out, "out", decoded_dtype(q), q, {q.shape[0]});
    const Radiometry r = radiometry_of(unit, scale, low, high, reserve, nodata);
    require_cuda_build(q, "q");
    prefer_huge_pages(out);
    const int64_t n = q.shape[0];
    dispatch_real(q, "q", [&](auto element) {
        using Q = decltype(element);
        using F = compute_t<Q>;
        if (!q.cuda) {
            Seen seen;
            {
                py::gil_scoped_release nogil;
                seen = decode_cpu<Q>(q.as<const Q>(), n, r, threads, out.as<F>());
            }
            if (seen.negative > 0)
                throw py::value_error(
                    "q must lie in [0, 1], but " + std::to_string(seen.negative) + " of its " + std::to_string(n) +
                    " values do not (" +
                    seen_text(extremes(q.as<const Q>(), n, std::numeric_limits<double>::quiet_NaN())) +
                    "); clamp the output of a network with q.clamp(0, 1)");
            return;
        }
#ifdef SARCORE_HAS_CUDA
        py::gil_scoped_release nogil;
        decode_cuda<Q>(q.as<const Q>(), n, r, out.as<F>(), q.device, q.stream);
#endif
    });
}

void decode_backward(const TensorView& gradient, const TensorView& q, const TensorView& out, const std::string& unit,
                     const std::string& scale, double low, double high, int threads) {
    require_layout(q, "q", 1);
    require_flat(gradient, "gradient", q);
    require(gradient.dtype == decoded_dtype(q), "gradient", gradient, "of the dtype of the decoded values");
    require_output(out, "out", q.dtype, q, {q.shape[0]});
    const Radiometry r = radiometry_of(unit, scale, low, high, false, std::nullopt);
    require_cuda_build(q, "q");
    prefer_huge_pages(out);
    dispatch_floating(q, "q", [&](auto element) {
        using Q = decltype(element);
        using F = compute_t<Q>;
        py::gil_scoped_release nogil;
        if (!q.cuda)
            return decode_backward_cpu<Q>(gradient.as<const F>(), q.as<const Q>(), q.shape[0], r, threads, out.as<Q>());
#ifdef SARCORE_HAS_CUDA
        decode_backward_cuda<Q>(gradient.as<const F>(), q.as<const Q>(), q.shape[0], r, out.as<Q>(), q.device,
                                q.stream);
#endif
    });
}

}  // namespace

void bind_radiometry(py::module_& m) {
    m.def("encode", &encode, py::arg("x"), py::arg("out"), py::arg("unit"), py::arg("scale"), py::arg("low"),
          py::arg("high"), py::arg("reserve"), py::arg("nodata").none(true), py::arg("threads"),
          "Writes the encoded values of x (1-D) into out; on the CPU refuses what contradicts the unit.");
    m.def("encode_backward", &encode_backward, py::arg("gradient"), py::arg("x"), py::arg("out"), py::arg("unit"),
          py::arg("scale"), py::arg("low"), py::arg("high"), py::arg("nodata").none(true), py::arg("threads"),
          "Writes the gradient of encode with respect to x into out.");
    m.def("decode", &decode, py::arg("q"), py::arg("out"), py::arg("unit"), py::arg("scale"), py::arg("low"),
          py::arg("high"), py::arg("reserve"), py::arg("nodata").none(true), py::arg("threads"),
          "Writes the physical values of q (1-D) into out; on the CPU refuses values outside [0, 1].");
    m.def("decode_backward", &decode_backward, py::arg("gradient"), py::arg("q"), py::arg("out"), py::arg("unit"),
          py::arg("scale"), py::arg("low"), py::arg("high"), py::arg("threads"),
          "Writes the gradient of decode with respect to q into out.");
}

}  // namespace sarcore
