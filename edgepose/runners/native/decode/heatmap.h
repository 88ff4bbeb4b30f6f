// Heatmaps: each key point is the peak of its own map.
#pragma once

#include <string>
#include <vector>

#include "../tensor.h"
#include "decoded.h"
#include "input_size.h"

namespace edgepose {

// How a peak is placed between cells: not at all; a quarter cell towards the higher neighbour;
// a Newton step on the logarithm of the blurred map (Zhang et al., CVPR 2020), or its variant for
// nets trained with unbiased data processing (Huang et al., CVPR 2020).
enum class Refine { kNone, kQuarter, kDark, kUdp };

// By its name in the zoo; throws Failure(kBadPlan).
Refine refine_named(const std::string& name);

// Heatmaps [1, K, h, w]; `blur_kernel` in cells is used by kDark and kUdp. Cell i lies at input
// pixel i * width / w, of kUdp i * width / (w - 1). Score = the peak; <= 0 means no point: cell -1.
std::vector<Keypoint> decode_heatmaps(
    const Tensor& heatmaps, InputSize input, Refine refine, int blur_kernel);

}  // namespace edgepose
