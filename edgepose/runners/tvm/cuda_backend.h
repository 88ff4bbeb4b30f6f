// Runs the launch plan of a network that TVM compiled for a GPU.
#pragma once

#include "../native/backend.h"

namespace edgepose {

// The artifact is `model.launches.json`, `model.weights` and `model.cubin`, which the device's nvcc
// made of `model.cu`. Option `driver` is the library of another driver.
std::unique_ptr<Backend> load_cuda(const Plan& plan);

// Whether the artifact is one for `load_cuda`.
bool is_for_cuda(const Plan& plan);

}  // namespace edgepose
