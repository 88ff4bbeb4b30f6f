// Loads and runs a network that TVM compiled for the CPU.
#pragma once

#include "../native/backend.h"

namespace edgepose {

// The artifact is `model.so`, `libtvm_ffi.so` and `libtvm_runtime.so`; there are no options.
std::unique_ptr<Backend> load_tvm(const Plan& plan);

}  // namespace edgepose
