// One plan, executed on one loaded artifact.
#pragma once

#include <string>

#include "backend.h"
#include "plan.h"
#include "result.h"

namespace edgepose {

// Writes the plan's lines to `result`, and a proof's outputs to `folder`; throws Failure.
void run_plan(const Plan& plan, const std::string& folder, ResultFile& result, LoadBackend load);

}  // namespace edgepose
