// A net's outputs as files that the host fetches.
#pragma once

#include <string>

#include "json.h"
#include "tensor.h"

namespace edgepose {

// Writes `tensor`, the output `name` of `golden` case (or a batch), into `folder`, and adds
// `output`, `file` and `sha256` to `line`; throws Failure.
void save_output(
    JsonObject& line, const std::string& folder, const std::string& golden,
    const std::string& name, const Tensor& tensor);

}  // namespace edgepose
