// SimCC: each axis of a key point is a classification over bins finer than a pixel.
#pragma once

#include <vector>

#include "../tensor.h"
#include "decoded.h"

namespace edgepose {

// Logits [1, K, bins] of both axes. Position = first best bin / `split`; score = the smaller of the
// two best logits. Score <= 0 means no point: both coordinates are then -1 bin.
std::vector<Keypoint> decode_simcc(const Tensor& x, const Tensor& y, double split);

}  // namespace edgepose
