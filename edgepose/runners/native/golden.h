// The golden cases of a plan, by the names of the model's tensors.
#pragma once

#include <string>

#include "plan.h"
#include "tensor.h"

namespace edgepose {

// Throws Failure(kBadPlan) where there is none.
const GoldenCase& first_case(const Plan& plan);

// The model's inputs, all of them and no other; throws Failure.
Tensors load_inputs(const Plan& plan, const GoldenCase& golden);

// Throws Failure(kBadPlan) where the model has no such output.
const Tensor& output_of(const Tensors& outputs, const std::string& name);

}  // namespace edgepose
