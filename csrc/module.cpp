// The extension module sarcore._core: what is bound, and what was compiled in.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "common/parallel.h"

#ifdef SARCORE_HAS_CUDA
#include "common/cuda_info.h"
#endif

namespace py = pybind11;

namespace sarcore {

void bind_despeckle(py::module_& m);
void bind_extract_patches(py::module_& m);
void bind_histogram(py::module_& m);
void bind_histogram_loss(py::module_& m);
void bind_joint_histogram(py::module_& m);
void bind_merge_patches(py::module_& m);
void bind_radiometry(py::module_& m);
void bind_resample(py::module_& m);
void bind_speckle(py::module_& m);

namespace {

std::string instruction_set() {
#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__clang__)
    if (__builtin_cpu_supports("x86-64-v4")) return "x86-64-v4 (AVX-512)";
    if (__builtin_cpu_supports("x86-64-v3")) return "x86-64-v3 (AVX2, FMA)";
    return "x86-64 (SSE2)";
#else
    return "baseline";
#endif
}

py::dict build_info() {
    py::dict info;
    info["version"] = SARCORE_VERSION;
    info["compiler"] = std::string(
#ifdef __clang__
        "clang "
#else
        "gcc "
#endif
        __VERSION__);
    info["instruction_set"] = instruction_set();
    info["thread_pool"] = have_thread_pool();
#ifdef SARCORE_HAS_CUDA
    info["cuda"] = true;
    info["cuda_version"] = SARCORE_CUDA_VERSION;
    info["cuda_architectures"] = SARCORE_CUDA_ARCHS;
    const CudaState state = cuda_state();
    info["cuda_devices"] = state.devices;
    info["cuda_problem"] = state.problem;
#else
    info["cuda"] = false;
    info["cuda_version"] = "";
    info["cuda_architectures"] = "";
    info["cuda_devices"] = 0;
    info["cuda_problem"] = "this build has no CUDA kernels (SARCORE_CUDA=OFF, or no nvcc was found)";
#endif
    return info;
}

}  // namespace

}  // namespace sarcore

PYBIND11_MODULE(_core, m) {
    m.doc() =
        "The compiled core of sarcore: operators on DLPack tensors, no PyTorch inside. Call it through sarcore.ops.";
    m.def("build_info", &sarcore::build_info, "What was compiled in and what of it can be used here.");
    sarcore::bind_despeckle(m);
    sarcore::bind_extract_patches(m);
    sarcore::bind_histogram(m);
    sarcore::bind_histogram_loss(m);
    sarcore::bind_joint_histogram(m);
    sarcore::bind_merge_patches(m);
    sarcore::bind_radiometry(m);
    sarcore::bind_resample(m);
    sarcore::bind_speckle(m);
}
