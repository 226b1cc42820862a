// Asks the CUDA run time what this machine has. cudart is linked statically and looks for the driver only here, so a
// machine without one is fine.
#include "common/cuda.cuh"
#include "common/cuda_info.h"

namespace sarcore {

CudaState cuda_state() {
    int devices = 0;
    const cudaError_t status = cudaGetDeviceCount(&devices);
    if (status != cudaSuccess) {
        cudaGetLastError();  // clears the error for later calls
        return {0, cudaGetErrorString(status)};
    }
    return {devices, devices ? "" : "no CUDA device was found"};
}

}  // namespace sarcore
