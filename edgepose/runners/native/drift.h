// How far outputs are from the golden ones: the same figures as the Python runner's tensor_drift.
#pragma once

#include <string>
#include <vector>

#include "json.h"
#include "tensor.h"

namespace edgepose {

// max|y - r| / max|r|, mean|y - r| / mean|r|, cosine; not defined where `finite` is false.
struct Drift {
    bool finite;
    double max_relative_error;
    double mean_relative_error;
    double cosine;
};

Drift tensor_drift(const Tensor& reference, const Tensor& output);

// What exceeds the limits of `gate` (a plan's), as sentences with both figures.
std::vector<std::string> drift_failures(
    const std::string& name, const Drift& drift, const Json& gate);

}  // namespace edgepose
