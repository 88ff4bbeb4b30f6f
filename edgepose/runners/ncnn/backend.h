// Loads and runs a param/bin pair of ncnn on the CPU.
#pragma once

#include "../native/backend.h"

namespace edgepose {

// Options: packing_layout, fp16_packed, fp16_storage, fp16_arithmetic, bf16_storage,
// winograd_convolution, sgemm_convolution; `blobs`: tensor name -> name of its blob.
std::unique_ptr<Backend> load_ncnn(const Plan& plan);

}  // namespace edgepose
