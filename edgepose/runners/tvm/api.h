// The functions of tvm-ffi's C interface that we call, found in its shared library.
#pragma once

#include <tvm/ffi/c_api.h>

#include <string>

namespace edgepose::tvm {

// The library's functions, by their names in c_api.h.
struct Api {
    decltype(&TVMFFIGetVersion) get_version;
    decltype(&TVMFFIObjectDecRef) decrease;
    decltype(&TVMFFIFunctionGetGlobal) get_global;
    decltype(&TVMFFIFunctionSetGlobal) set_global;
    decltype(&TVMFFIFunctionCreate) create_function;
    decltype(&TVMFFIFunctionCall) call;
    decltype(&TVMFFIErrorMoveFromRaised) take_error;
    decltype(&TVMFFIErrorSetRaisedFromCStr) set_error;
    decltype(&TVMFFIStringFromByteArray) make_text;
    decltype(&TVMFFIBytesFromByteArray) make_bytes;
    decltype(&TVMFFITensorFromDLPack) make_tensor;
};

extern Api api;  // empty until the library is open

// Opens a shared library for the rest of the process; throws Failure(kRuntimeMissing).
void* open_library(const std::string& path);

// Fills `api` from libtvm_ffi.so at `path`; throws Failure(kRuntimeMissing).
void open_api(const std::string& path);

}  // namespace edgepose::tvm
