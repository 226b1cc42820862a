// parallel_for over independent tasks on the OpenMP threads that torch has already started.
//
// The pool is reached through libgomp's entry point GOMP_parallel, bound weakly: it resolves to the libgomp that
// `import torch` loaded, whatever its file is called, so the process never maps a second one; without it (no torch in
// the process) the loop runs on one thread. One thread opens no parallel region at all: DataLoader workers, which fork
// with a pool that did not survive the fork, are safe. Tasks are handed out by a counter, so which thread runs a task
// is open, but what a task writes depends on its index alone. An exception (memory that is not there) must not leave a
// thread of the pool, which would end the process: the first one is thrown again where the loop was called.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>

extern "C" __attribute__((weak)) void GOMP_parallel(void (*body)(void*), void* data, unsigned threads, unsigned flags);

namespace sarcore {

inline bool have_thread_pool() { return GOMP_parallel != nullptr; }

template <typename Body>
void parallel_for(int64_t tasks, int threads, const Body& body) {
    const int64_t team = std::min<int64_t>(tasks, threads);
    if (team <= 1 || !have_thread_pool()) {
        for (int64_t i = 0; i < tasks; ++i) body(i);
        return;
    }
    struct Shared {
        const Body& body;
        std::atomic<int64_t> next;
        int64_t tasks;
        std::atomic<bool> failed;
        std::exception_ptr error;
    } shared{body, {0}, tasks, {false}, nullptr};
    GOMP_parallel(
        [](void* data) {
            auto& s = *static_cast<Shared*>(data);
            try {
                for (int64_t i; (i = s.next.fetch_add(1, std::memory_order_relaxed)) < s.tasks;) s.body(i);
            } catch (...) {
                if (!s.failed.exchange(true)) s.error = std::current_exception();
                s.next.store(s.tasks, std::memory_order_relaxed);  // no further task is begun
            }
        },
        &shared, static_cast<unsigned>(team), 0);
    if (shared.error) std::rethrow_exception(shared.error);
}

}  // namespace sarcore

// Function multi-versioning: the loop is compiled for three instruction sets and the best one is bound when the module
// is loaded.
#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__clang__)
#define SARCORE_MULTIVERSION __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define SARCORE_MULTIVERSION
#endif
