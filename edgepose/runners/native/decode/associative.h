// Bottom-up nets: all people of an image from one pair of outputs.
#pragma once

#include <vector>

#include "../tensor.h"
#include "decoded.h"
#include "grouping.h"
#include "input_size.h"

namespace edgepose {

// `out0` [1, 2 K, h, w]: heatmaps and tags; `out1` [1, K, 2 h, 2 w]: heatmaps. Missing joints are
// looked for; one whose heat is not above 0 there has score 0.
std::vector<Person> decode_associative(
    const Tensor& out0, const Tensor& out1, InputSize input, const GroupingSettings& settings);

}  // namespace edgepose
