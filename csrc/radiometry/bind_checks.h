// What the bindings of every op that encodes share: the declaration from Python, dispatch on the input, the refusals.
#pragma once

#include <cmath>
#include <limits>
#include <sstream>

#include "common/checks.h"
#include "radiometry/kernels.h"

namespace sarcore {

// ------ arguments

inline Unit unit_of(const std::string& name, const char* argument) {
    return choose<Unit>(argument, name,
                        {{"intensity", Unit::intensity},
                         {"amplitude", Unit::amplitude},
                         {"db", Unit::db},
                         {"complex", Unit::complex},
                         {"digital", Unit::digital}});
}

inline Radiometry radiometry_of(const std::string& unit, const std::string& scale, double low, double high,
                                bool reserve, std::optional<double> nodata) {
    const Radiometry r{unit_of(unit, "unit"), unit_of(scale, "scale"), low, high, reserve,
                       nodata.has_value(),    nodata.value_or(0.0)};
    if (r.scale == Unit::complex || (r.unit == Unit::digital) != (r.scale == Unit::digital))
        throw py::value_error("scale must be one to which unit '" + unit + "' converts, got '" + scale + "'");
    if (!(low < high) || !std::isfinite(high - low))
        throw py::value_error("low and high must be finite with low < high, got " + std::to_string(low) + " and " +
                              std::to_string(high));
    return r;
}

template <typename Body>
void dispatch_input(const TensorView& x, const char* argument, Body&& body) {
    if (x.dtype == DType::i16) return body(int16_t{});
    if (x.dtype == DType::c64) return body(Complex64{});
    dispatch_real(x, argument, body);
}

// ------ refusals

struct Extremes {
    double lowest = std::numeric_limits<double>::infinity(), highest = -lowest;
    void add(double v) {
        if (v < lowest) lowest = v;
        if (v > highest) highest = v;
    }
};

// No-data as it stands in an array of T, NaN where no value is declared.
template <typename T>
double declared_nodata(const Radiometry& r) {
    return r.has_value ? rounded_to<T>(r.nodata) : std::numeric_limits<double>::quiet_NaN();
}

template <typename T>
Extremes extremes(const T* x, int64_t n, double nodata) {
    Extremes found;
    for (int64_t i = 0; i < n; ++i) found.add(load_value<double>(x[i], nodata));
    return found;
}

inline std::string seen_text(const Extremes& e) {
    std::ostringstream text;
    text.precision(9);
    text << "smallest value " << e.lowest << ", largest " << e.highest;
    return text.str();
}

// Whether what was seen on the way may have to be refused; `refuse_contradictions` decides and says why.
inline bool suspicious(const Radiometry& r, const Seen& seen, bool integer_out) {
    const bool positive = r.unit == Unit::intensity || r.unit == Unit::amplitude;
    return (positive && seen.negative > 0) || (r.unit == Unit::db && seen.large > 0) ||
           (integer_out && !r.reserve && seen.missing > 0);
}

// `find_extremes` looks at the n values again, for the message.
template <typename FindExtremes>
void refuse_contradictions(const std::string& argument, int64_t n, const Radiometry& r, const std::string& unit,
                           const Seen& seen, bool integer_out, const FindExtremes& find_extremes) {
    const bool positive = r.unit == Unit::intensity || r.unit == Unit::amplitude;
    const bool too_large = r.unit == Unit::db && seen.negative == 0 && seen.large > 0;
    const int64_t valid = n - seen.missing;
    if ((positive && seen.negative > 0) || too_large) {
        const Extremes e = find_extremes();
        if (too_large)
            throw py::value_error(argument + " contradicts unit='db': none of its " + std::to_string(valid) +
                                  " values is negative (" + seen_text(e) +
                                  "), and these look like intensities or digital numbers, not decibels; declare the "
                                  "radiometry with unit='intensity', 'amplitude' or 'digital'");
        const bool decibels = 2 * seen.negative > valid && e.lowest > -200.0 && e.highest < 100.0;
        throw py::value_error(argument + " contradicts unit='" + unit + "': " + std::to_string(seen.negative) +
                              " of its " + std::to_string(valid) + " values are negative (" + seen_text(e) + "); " +
                              (decibels ? "this looks like decibels: declare the radiometry with unit='db'"
                                        : "declare their value as nodata, clamp them (" + argument +
                                              ".clamp(min=0)) where noise was subtracted, or "
                                              "declare unit='db' if these are decibels"));
    }
    if (integer_out && !r.reserve && seen.missing > 0)
        throw py::value_error(argument + " holds " + std::to_string(seen.missing) +
                              " NaN, for which integer codes have no place: declare nodata=float('nan') in the "
                              "radiometry, which keeps code 0 for them, or fill them");
}

}  // namespace sarcore
