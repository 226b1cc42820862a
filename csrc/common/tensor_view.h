// TensorView: a borrowed, strided view of any DLPack producer (torch, NumPy, CuPy, JAX). The only place where the core
// touches a Python object.
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>
#include <stdexcept>
#include <string>

#include "common/dlpack.h"
#include "common/dtype.h"

namespace sarcore {

namespace py = pybind11;

inline constexpr int kMaxDims = 8;

struct TensorView {
    void* data = nullptr;
    DType dtype = DType::other;
    int ndim = 0;
    int64_t shape[kMaxDims] = {};
    int64_t strides[kMaxDims] = {};  // in elements
    bool cuda = false;
    bool writable = true;
    int device = 0;
    void* stream = nullptr;  // the producer's current stream, CUDA only
    std::shared_ptr<py::object>
        capsule;  // keeps the memory of a producer without the exchange table as long as the view

    template <typename T>
    T* as() const {
        return static_cast<T*>(data);
    }
    int64_t numel() const {
        int64_t n = 1;
        for (int i = 0; i < ndim; ++i) n *= shape[i];
        return n;
    }
    int64_t itemsize() const { return size_of(dtype); }
    bool contiguous() const {
        if (numel() == 0) return true;
        int64_t expected = 1;
        for (int i = ndim - 1; i >= 0; --i) {
            if (shape[i] != 1 && strides[i] != expected) return false;
            expected *= shape[i];
        }
        return true;
    }
    std::string describe() const {
        static constexpr const char* names[] = {"uint8",   "uint16",    "int16",    "int32",
                                                "int64",   "float16",   "bfloat16", "float32",
                                                "float64", "complex64", "bool",     "another dtype"};
        std::string text = "(";
        for (int i = 0; i < ndim; ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
        return text + (ndim == 1 ? ",) " : ") ") + names[static_cast<int>(dtype)] +
               (cuda ? " cuda:" + std::to_string(device) : " cpu");
    }
};

inline DType dtype_of(dlpack::DataType d) {
    if (d.lanes != 1) return DType::other;
    const int key = d.code * 1000 + d.bits;
    switch (key) {
        case dlpack::kUInt * 1000 + 8:
            return DType::u8;
        case dlpack::kUInt * 1000 + 16:
            return DType::u16;
        case dlpack::kInt * 1000 + 16:
            return DType::i16;
        case dlpack::kInt * 1000 + 32:
            return DType::i32;
        case dlpack::kInt * 1000 + 64:
            return DType::i64;
        case dlpack::kFloat * 1000 + 16:
            return DType::f16;
        case dlpack::kBFloat * 1000 + 16:
            return DType::bf16;
        case dlpack::kFloat * 1000 + 32:
            return DType::f32;
        case dlpack::kFloat * 1000 + 64:
            return DType::f64;
        case dlpack::kComplex * 1000 + 64:
            return DType::c64;
        case dlpack::kBool * 1000 + 8:
            return DType::boolean;
        default:
            return DType::other;
    }
}

inline void fill_view(const dlpack::Tensor& t, TensorView& view) {
    if (t.ndim > kMaxDims)
        throw py::value_error("a tensor with " + std::to_string(t.ndim) +
                              " dimensions was given, at most 8 are allowed");
    const int32_t device = t.device.type;
    view.cuda = device == dlpack::kCUDA || device == dlpack::kCUDAManaged;
    if (!view.cuda && device != dlpack::kCPU && device != dlpack::kCUDAHost)
        throw py::value_error("a tensor on DLPack device type " + std::to_string(device) +
                              " was given, CPU and CUDA are allowed");
    view.data = static_cast<char*>(t.data) + t.byte_offset;
    view.dtype = dtype_of(t.dtype);
    view.ndim = t.ndim;
    view.device = t.device.id;
    int64_t stride = 1;
    for (int i = t.ndim - 1; i >= 0; --i) {
        view.shape[i] = t.shape[i];
        view.strides[i] = t.strides ? t.strides[i] : stride;
        stride *= t.shape[i];
    }
}

// The exchange table of an object's type, or null. Looked up once per type: the answer for the last type is kept.
inline const dlpack::ExchangeTable* exchange_table(py::handle object) {
    static PyTypeObject* last_type = nullptr;
    static const dlpack::ExchangeTable* last_table = nullptr;
    PyTypeObject* type = Py_TYPE(object.ptr());
    if (type == last_type) return last_table;
    const dlpack::ExchangeTable* table = nullptr;
    const py::object capsule = py::getattr(reinterpret_cast<PyObject*>(type), "__dlpack_c_exchange_api__", py::none());
    if (PyCapsule_IsValid(capsule.ptr(), "dlpack_exchange_api")) {
        auto* found =
            static_cast<const dlpack::ExchangeTable*>(PyCapsule_GetPointer(capsule.ptr(), "dlpack_exchange_api"));
        if (found->header.version.major == 1 && found->tensor_from_object && found->current_stream) table = found;
    }
    Py_INCREF(type);  // the cached address must stay this type's
    Py_XDECREF(last_type);
    last_type = type;
    last_table = table;
    return table;
}

// Producers without the table (NumPy, older torch): the __dlpack__ capsule, kept alive as long as the view.
inline py::object capsule_of(py::handle object, TensorView& view) {
    py::dict arguments;
    const auto device = py::cast<std::pair<int, int>>(object.attr("__dlpack_device__")());
    if (device.first == dlpack::kCUDA) {
        arguments["stream"] = -1;  // no synchronisation: kernels go to the producer's own stream
        const py::object stream = py::module_::import("torch").attr("cuda").attr("current_stream")(device.second);
        view.stream = reinterpret_cast<void*>(py::cast<std::uintptr_t>(stream.attr("cuda_stream")));
    }
    const py::object method = object.attr("__dlpack__");
    try {
        py::dict versioned(**arguments);
        versioned["max_version"] = py::make_tuple(1, 0);
        return method(**versioned);
    } catch (py::error_already_set& error) {
        if (!error.matches(PyExc_TypeError)) throw;
    }
    return method(**arguments);
}

inline void fill_view_from_capsule(py::handle capsule, TensorView& view) {
    if (PyCapsule_IsValid(capsule.ptr(), "dltensor_versioned")) {
        auto* managed =
            static_cast<dlpack::ManagedTensorVersioned*>(PyCapsule_GetPointer(capsule.ptr(), "dltensor_versioned"));
        if (managed->version.major > 1)
            throw py::value_error("a tensor of DLPack version " + std::to_string(managed->version.major) +
                                  " was given, 1 is read");
        fill_view(managed->tensor, view);
        view.writable = (managed->flags & 1u) == 0;
        return;
    }
    if (!PyCapsule_IsValid(capsule.ptr(), "dltensor"))
        throw py::type_error("__dlpack__() returned something that is no DLPack capsule");
    fill_view(static_cast<dlpack::ManagedTensor*>(PyCapsule_GetPointer(capsule.ptr(), "dltensor"))->tensor, view);
}

}  // namespace sarcore

namespace pybind11::detail {

template <>
struct type_caster<sarcore::TensorView> {
    PYBIND11_TYPE_CASTER(sarcore::TensorView, const_name("Tensor"));

    bool load(handle source, bool) {
        if (const auto* table = sarcore::exchange_table(source)) {
            sarcore::dlpack::Tensor tensor;
            if (table->tensor_from_object(source.ptr(), &tensor) != 0) throw error_already_set();
            sarcore::fill_view(tensor, value);
            if (value.cuda && table->current_stream(sarcore::dlpack::kCUDA, value.device, &value.stream) != 0)
                throw error_already_set();
            return true;
        }
        if (!hasattr(source, "__dlpack__")) return false;
        value.capsule =
            std::make_shared<object>(sarcore::capsule_of(source, value));  // unconsumed, it frees its tensor
        sarcore::fill_view_from_capsule(*value.capsule, value);
        return true;
    }
};

}  // namespace pybind11::detail
