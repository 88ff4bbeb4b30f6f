// The joints that grouping left out.
#pragma once

#include <vector>

#include "grouping.h"
#include "joint_maps.h"

namespace edgepose {

// The most likely place of one joint for each of the people with the mean tags `wanted`: where
// mean heat - round(tag distance) is highest. The value is not above 0 where there is none.
std::vector<Peak> most_likely(
    const JointMaps& maps, const Bounds& bounds, const std::vector<float>& wanted);

}  // namespace edgepose
