// What the CUDA run time says about this machine; compiled by nvcc, asked by the module.
#pragma once

#include <string>

namespace sarcore {

struct CudaState {
    int devices;
    std::string problem;  // empty when a device can be used
};
CudaState cuda_state();

}  // namespace sarcore
