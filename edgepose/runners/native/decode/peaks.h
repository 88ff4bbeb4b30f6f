// Where one joint's heatmap is highest.
#pragma once

#include <vector>

#include "grouping.h"
#include "joint_maps.h"

namespace edgepose {

// The best local maxima of the mean heatmap, best first, each at its place in the doubled maps: a
// quarter of a cell nearer to the higher neighbours.
std::vector<Peak> find_peaks(
    const JointMaps& maps, const Bounds& bounds, const GroupingSettings& settings);

// The peak at the cell (y, x) of the doubled maps.
Peak peak_at(const JointMaps& maps, int y, int x);

}  // namespace edgepose
