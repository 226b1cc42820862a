// What the back ends of encode and decode offer to the bindings. n elements, contiguous.
#pragma once

#include "radiometry/formula.h"

namespace sarcore {

// What the CPU saw on its way, for the refusals.
struct Seen {
    int64_t negative = 0;  // of the values that are not no-data; for decode: outside [0, 1]
    int64_t large = 0;     // more than 100 dB, if they are decibels
    int64_t missing = 0;   // NaN and no-data
    void add(const Seen& other) {
        negative += other.negative;
        large += other.large;
        missing += other.missing;
    }
};

template <typename T, typename Out>
Seen encode_cpu(const T* x, int64_t n, const Radiometry& radiometry, int threads, Out* out);
template <typename T, typename G>
void encode_backward_cpu(const G* gradient, const T* x, int64_t n, const Radiometry& radiometry, int threads, T* out);
template <typename Q>
Seen decode_cpu(const Q* q, int64_t n, const Radiometry& radiometry, int threads, compute_t<Q>* out);
template <typename Q>
void decode_backward_cpu(const compute_t<Q>* gradient, const Q* q, int64_t n, const Radiometry& radiometry, int threads,
                         Q* out);

template <typename T, typename Out>
void encode_cuda(const T* x, int64_t n, const Radiometry& radiometry, Out* out, int device, void* stream);
template <typename T, typename G>
void encode_backward_cuda(const G* gradient, const T* x, int64_t n, const Radiometry& radiometry, T* out, int device,
                          void* stream);
template <typename Q>
void decode_cuda(const Q* q, int64_t n, const Radiometry& radiometry, compute_t<Q>* out, int device, void* stream);
template <typename Q>
void decode_backward_cuda(const compute_t<Q>* gradient, const Q* q, int64_t n, const Radiometry& radiometry, Q* out,
                          int device, void* stream);

}  // namespace sarcore

// The instances of both back ends: every input with every output.
#define SARCORE_FOR_FLOATING(APPLY, OTHER) \
    APPLY(Half, OTHER)                     \
    APPLY(BFloat16, OTHER)                 \
    APPLY(float, OTHER)                    \
    APPLY(double, OTHER)
#define SARCORE_FOR_NARROW_INPUTS(APPLY, OTHER) \
    APPLY(Half, OTHER)                          \
    APPLY(BFloat16, OTHER)                      \
    APPLY(float, OTHER)                         \
    APPLY(uint8_t, OTHER)                       \
    APPLY(uint16_t, OTHER)                      \
    APPLY(int16_t, OTHER)                       \
    APPLY(Complex64, OTHER)
#define SARCORE_FOR_INPUTS(APPLY, OTHER)    \
    SARCORE_FOR_NARROW_INPUTS(APPLY, OTHER) \
    APPLY(double, OTHER)
