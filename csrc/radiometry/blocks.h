// The vector loops of encode over a block of elements that stay in the first-level cache, for every CPU op that encodes
// on its way. Defined in cpu.cpp, compiled for three instruction sets.
#pragma once

#include "radiometry/kernels.h"

namespace sarcore {

inline constexpr int kBlock = 1024;

// load: widen, |z|^2, no-data to NaN.
#define SARCORE_DECLARE_LOAD(T, F) void load_block(const T* x, int n, F nodata, F* out);
SARCORE_FOR_NARROW_INPUTS(SARCORE_DECLARE_LOAD, float)
SARCORE_FOR_NARROW_INPUTS(SARCORE_DECLARE_LOAD, double)
SARCORE_DECLARE_LOAD(double, double)
#undef SARCORE_DECLARE_LOAD

// curve and map, with the counts for the refusals; `slopes` are dt/dv. In place where v == t.
#define SARCORE_DECLARE_CURVES(F)                                                \
    void encode_block(const F* v, int n, const Mapping<F>& m, F* t, Seen& seen); \
    void encode_slopes(const F* v, int n, const Mapping<F>& m, F* slopes);
SARCORE_DECLARE_CURVES(float)
SARCORE_DECLARE_CURVES(double)
#undef SARCORE_DECLARE_CURVES

// store: narrow, or round to codes.
#define SARCORE_FOR_STORED(APPLY) \
    APPLY(Half, float)            \
    APPLY(BFloat16, float)        \
    APPLY(Half, double)           \
    APPLY(BFloat16, double)       \
    APPLY(float, double)          \
    APPLY(uint8_t, float)         \
    APPLY(uint16_t, float)        \
    APPLY(uint8_t, double)        \
    APPLY(uint16_t, double)
#define SARCORE_DECLARE_STORE(Out, F) void store_block(const F* t, int n, bool reserve, Out* out);
SARCORE_FOR_STORED(SARCORE_DECLARE_STORE)
#undef SARCORE_DECLARE_STORE

// One block of encode; n <= kBlock.
template <typename F, typename T, typename Out>
void encode_elements(const T* x, int n, const Mapping<F>& m, Out* out, Seen& seen) {
    F values[kBlock];
    load_block(x, n, m.nodata, values);
    if constexpr (std::is_same_v<Out, F>) {
        encode_block(values, n, m, out, seen);
    } else {
        encode_block(values, n, m, values, seen);
        store_block(values, n, m.reserve, out);
    }
}

}  // namespace sarcore
