// What follows the net, on the device: its outputs decoded, and timed beside it.
#pragma once

#include <string>

#include "backend.h"
#include "plan.h"
#include "result.h"

namespace edgepose {

// The line that tells what was found in `outputs`, where the plan has a decoder; throws Failure.
void write_decoded(
    const Plan& plan, const std::string& name, const Tensors& outputs, ResultFile& result);

// Passes over the first golden input, network and decoding timed apart; throws Failure.
void time_stages(const Plan& plan, Backend& backend, ResultFile& result);

}  // namespace edgepose
