// Inferences on inputs that the host sent, many in one file.
#pragma once

#include <string>

#include "backend.h"
#include "plan.h"
#include "result.h"

namespace edgepose {

// One inference per input of the plan's batch; outputs go to `folder`, as the inputs came. All that
// one file holds is in memory at once: the host chooses how much that is. Throws Failure.
void infer_batch(
    const Plan& plan, const std::string& folder, Backend& backend, ResultFile& result);

}  // namespace edgepose
