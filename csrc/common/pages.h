// Asks for huge pages under a large result before it is written: a fresh 256 MB tensor costs 110 ms of page faults in
// pages of 4 kB and 25 ms in pages of 2 MB, more than most ops need to compute it. A hint: where the system has no huge
// pages nothing changes.
#pragma once

#include "common/tensor_view.h"

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace sarcore {

inline void prefer_huge_pages(const TensorView& out) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    constexpr uintptr_t page = uintptr_t{2} << 20;
    if (out.cuda) return;
    const uintptr_t begin = (reinterpret_cast<uintptr_t>(out.data) + page - 1) / page * page;
    const uintptr_t end =
        (reinterpret_cast<uintptr_t>(out.data) + static_cast<uintptr_t>(out.numel() * out.itemsize())) / page * page;
    if (end > begin + page) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#else
    (void)out;
#endif
}

}  // namespace sarcore
