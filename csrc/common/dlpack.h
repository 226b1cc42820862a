// The binary layout of DLPack 1.x, as far as sarcore reads it (https://dmlc.github.io/dlpack). Only reading: sarcore
// never produces a tensor.
#pragma once

#include <cstdint>

namespace sarcore::dlpack {

struct Version {
    uint32_t major, minor;
};
struct Device {
    int32_t type, id;
};
struct DataType {
    uint8_t code, bits;
    uint16_t lanes;
};

inline constexpr int32_t kCPU = 1, kCUDA = 2, kCUDAHost = 3, kCUDAManaged = 13;
inline constexpr uint8_t kInt = 0, kUInt = 1, kFloat = 2, kBFloat = 4, kComplex = 5, kBool = 6;

struct Tensor {
    void* data;
    Device device;
    int32_t ndim;
    DataType dtype;
    int64_t* shape;
    int64_t* strides;  // in elements; null means contiguous
    uint64_t byte_offset;
};

struct ManagedTensor {
    Tensor tensor;
    void* context;
    void (*deleter)(ManagedTensor*);
};

struct ManagedTensorVersioned {
    Version version;
    void* context;
    void (*deleter)(ManagedTensorVersioned*);
    uint64_t flags;
    Tensor tensor;
};

// The C exchange table that torch >= 2.11 publishes as a capsule on the tensor type: no Python call and no allocation
// per tensor.
struct ExchangeHeader {
    Version version;
    ExchangeHeader* previous;
};
struct ExchangeTable {
    ExchangeHeader header;
    void* allocate;
    void* managed_from_object;
    void* managed_to_object;
    int (*tensor_from_object)(void* object, Tensor* out);
    int (*current_stream)(int32_t device_type, int32_t device_id, void** stream);
};

}  // namespace sarcore::dlpack
