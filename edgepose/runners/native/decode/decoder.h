// From a net's outputs to key points or boxes, as a plan's `decoder` says.
#pragma once

#include <vector>

#include "../json.h"
#include "../plan.h"
#include "../tensor.h"
#include "decoded.h"
#include "grouping.h"
#include "heatmap.h"
#include "input_size.h"
#include "rtmdet.h"

namespace edgepose {

using Outputs = std::vector<const Tensor*>;  // in the model's order

class Decode {
public:
    // `description` is the plan's `decoder` (see PROTOCOL.md); throws Failure(kBadPlan).
    explicit Decode(const Json& description);

    // Throws Failure(kBadPlan) where the outputs are not those of such a net.
    Decoded operator()(const Outputs& outputs) const;

private:
    enum class Kind { kSimcc, kHeatmap, kRTMDet, kAssociative };

    void check(const Outputs& outputs) const;
    bool fits_rtmdet(const Outputs& outputs) const;

    Kind kind_;
    InputSize input_;
    int keypoints_ = 0;
    double split_ = 0;                // of kSimcc
    Refine refine_ = Refine::kNone;   // of kHeatmap
    int blur_kernel_ = 0;             // of kHeatmap
    RTMDetSettings rtmdet_{};         // of kRTMDet
    GroupingSettings grouping_{};     // of kAssociative
};

// The tensors in the order of the model's `specs`; throws Failure(kBadPlan).
Outputs ordered_outputs(const Tensors& outputs, const std::vector<TensorSpec>& specs);

}  // namespace edgepose
