// The order of things by their scores.
#pragma once

#include <vector>

namespace edgepose {

// Indices of `scores`, best first, equal ones in the order in which they are.
std::vector<int> best_first(const std::vector<float>& scores);

}  // namespace edgepose
