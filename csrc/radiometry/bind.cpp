// Python entry points of encode and decode: argument checks, dispatch on device and dtypes, the refusals.
#include <cmath>
#include <limits>
#include <sstream>

#include "common/checks.h"
#include "common/pages.h"
#include "radiometry/kernels.h"

namespace sarcore {

namespace {

// ------ arguments

Unit unit_of(const std::string& name, const char* argument) {
    return choose<Unit>(argument, name,
                        {{"intensity", Unit::intensity},
                         {"amplitude", Unit::amplitude},
                         {"db", Unit::db},
                         {"complex", Unit::complex},
                         {"digital", Unit::digital}});
}

Radiometry radiometry_of(const std::string& unit, const std::string& scale, double low, double high, bool reserve,
                         std::optional<double> nodata) {
    const Radiometry r{unit_of(unit, "unit"), unit_of(scale, "scale"), low, high, reserve,
                       nodata.has_value(),    nodata.value_or(0.0)};
    if (r.scale == Unit::complex || (r.unit == Unit::digital) != (r.scale == Unit::digital))
        throw py::value_error("scale must be one to which unit '" + unit + "' converts, got '" + scale + "'");
    if (!(low < high) || !std::isfinite(high - low))
        throw py::value_error("low and high must be finite with low < high, got " + std::to_string(low) + " and " +
                              std::to_string(high));
    return r;
}

void require_flat(const TensorView& view, const char* argument, const TensorView& input) {
    require_layout(view, argument, 1);
    require(view.shape[0] == input.shape[0], argument, view, "of the size of the input");
    require_same_device(view, argument, input, "the input");
}

template <typename Body>
void dispatch_input(const TensorView& x, Body&& body) {
    if (x.dtype == DType::i16) return body(int16_t{});
    if (x.dtype == DType::c64) return body(Complex64{});
    dispatch_real(x, "x", body);
}

// ------ refusals

struct Extremes {
    double lowest, highest;
};

template <typename T>
Extremes extremes(const T* x, int64_t n, double nodata) {
    Extremes found{std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()};
    for (int64_t i = 0; i < n; ++i) {
        const double v = load_value<double>(x[i], nodata);
        if (v < found.lowest) found.lowest = v;
        if (v > found.highest) found.highest = v;
    }
    return found;
}

std::string seen_text(const Extremes& e) {
    std::ostringstream text;
    text.precision(9);
    text << "smallest value " << e.lowest << ", largest " << e.highest;
    return text.str();
}

template <typename T>
void refuse_contradictions(const T* x, int64_t n, const Radiometry& r, const std::string& unit, const Seen& seen,
                           bool integer_out) {
    const bool positive = r.unit == Unit::intensity || r.unit == Unit::amplitude;
    const bool too_large = r.unit == Unit::db && seen.negative == 0 && seen.large > 0;
    const int64_t valid = n - seen.missing;
    if ((positive && seen.negative > 0) || too_large) {
        const Extremes e =
            extremes(x, n, r.has_value ? rounded_to<T>(r.nodata) : std::numeric_limits<double>::quiet_NaN());
        if (too_large)
            throw py::value_error("x contradicts unit='db': none of its " + std::to_string(valid) +
                                  " values is negative (" + seen_text(e) +
                                  "), and these look like intensities or digital numbers, not decibels; declare the "
                                  "radiometry with unit='intensity', 'amplitude' or 'digital'");
        const bool decibels = 2 * seen.negative > valid && e.lowest > -200.0 && e.highest < 100.0;
        throw py::value_error(
            "x contradicts unit='" + unit + "': " + std::to_string(seen.negative) + " of its " + std::to_string(valid) +
            " values are negative (" + seen_text(e) + "); " +
            (decibels ? "this looks like decibels: declare the radiometry with unit='db'"
                      : "declare their value as nodata, clamp them (x.clamp(min=0)) where noise was subtracted, or "
                        "declare unit='db' if these are decibels"));
    }
    if (integer_out && !r.reserve && seen.missing > 0)
        throw py::value_error("x holds " + std::to_string(seen.missing) +
                              " NaN, for which integer codes have no place: declare nodata=float('nan') in the "
                              "radiometry, which keeps code 0 for them, or fill them");
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
    dispatch_input(x, [&](auto element) {
        using T = decltype(element);
        dispatch_real(out, "out", [&](auto result) {
            using Out = decltype(result);
            if (!x.cuda) {
                Seen seen;
                {
                    py::gil_scoped_release nogil;
                    seen = encode_cpu<T, Out>(x.as<const T>(), n, r, threads, out.as<Out>());
                }
                return refuse_contradictions(x.as<const T>(), n, r, unit, seen, std::is_integral_v<Out>);
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
