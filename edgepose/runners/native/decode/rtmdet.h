// RTMDet: per cell a class logit and the distances to the box's four sides.
#pragma once

#include <vector>

#include "../tensor.h"
#include "decoded.h"
#include "input_size.h"

namespace edgepose {

// Not fused: logits [1, C, h, w] per level, then distances [1, 4, h, w] per level. Fused: one
// output [1, h, w, C + 4] per level.
struct RTMDetSettings {
    std::vector<int> strides;
    double score_threshold;
    double nms_iou;
    bool is_fused;
};

// At most 100 boxes, best first, cut to the input. Cell (row, column) stands at pixel
// (column * stride, row * stride), without a half-cell offset.
std::vector<Box> decode_rtmdet(
    const std::vector<const Tensor*>& outputs, const RTMDetSettings& settings, InputSize input);

}  // namespace edgepose
