// CUDA helpers shared by the ops: error checks, device guard, launch sizes, warp-aggregated counting. No op code.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <stdexcept>
#include <string>

#include "common/dtype.h"

namespace sarcore {

inline void cuda_check(cudaError_t status, const char* what) {
    if (status != cudaSuccess)
        throw std::runtime_error(std::string("CUDA error in ") + what + ": " + cudaGetErrorString(status));
}

// Makes the tensors' device current for the launches of one op.
class DeviceGuard {
  public:
    explicit DeviceGuard(int device) {
        cuda_check(cudaGetDevice(&previous_), "cudaGetDevice");
        if (previous_ != device) cuda_check(cudaSetDevice(device), "cudaSetDevice");
        changed_ = previous_ != device;
    }
    ~DeviceGuard() {
        if (changed_) cudaSetDevice(previous_);
    }
    DeviceGuard(const DeviceGuard&) = delete;
    DeviceGuard& operator=(const DeviceGuard&) = delete;

  private:
    int previous_ = 0;
    bool changed_ = false;
};

// Blocks for a grid-stride loop over `work` items.
inline unsigned grid_for(int64_t work) { return static_cast<unsigned>(std::clamp<int64_t>(work, 1, int64_t{1} << 20)); }

template <typename T>
bool aligned16(const T* pointer) {
    return reinterpret_cast<uintptr_t>(pointer) % 16 == 0;
}

// 16 bytes of elements, loaded and stored at once.
template <typename T>
struct alignas(16) Pack {
    static constexpr int size = 16 / static_cast<int>(sizeof(T));
    T values[size];
};

#ifdef __CUDACC__
// Adds one pixel's mass to a table in shared memory: `one - fraction` to bin k and `fraction` to bin k + 1.
// When a whole warp falls into one bin (no-data borders, constant images) it adds once instead of 32 times to one
// address.
__device__ __forceinline__ void add_mass(unsigned* table, uint32_t position, bool subtract) {
    constexpr unsigned one = 1u << 16;
    const unsigned k = position >> 16, fraction = position & (one - 1u);
    const unsigned sign = subtract ? ~0u : 1u;  // modulo 2^32 a factor of -1
#if __CUDA_ARCH__ >= 800
    const unsigned active = __activemask();
    int uniform = 0;
    __match_all_sync(active, k, &uniform);
    if (uniform) {
        const unsigned total = __reduce_add_sync(active, fraction);
        if ((threadIdx.x & 31u) == static_cast<unsigned>(__ffs(static_cast<int>(active)) - 1)) {
            atomicAdd(table + k, sign * (static_cast<unsigned>(__popc(active)) * one - total));
            if (total) atomicAdd(table + k + 1, sign * total);
        }
        return;
    }
#endif
    atomicAdd(table + k, sign * (one - fraction));
    if (fraction) atomicAdd(table + k + 1, sign * fraction);
}

__device__ __forceinline__ void add_mass(unsigned long long* table, uint64_t position, bool subtract) {
    constexpr unsigned long long one = 1ull << 40;
    const unsigned long long fraction = position & (one - 1ull), sign = subtract ? ~0ull : 1ull;
    atomicAdd(table + (position >> 40), sign * (one - fraction));
    if (fraction) atomicAdd(table + (position >> 40) + 1, sign * fraction);
}

template <typename F>
struct Cell {
    using type = unsigned;
    using difference = int;
};
template <>
struct Cell<double> {
    using type = unsigned long long;
    using difference = long long;
};
template <typename F>
using cell_t = typename Cell<F>::type;
#endif

}  // namespace sarcore
