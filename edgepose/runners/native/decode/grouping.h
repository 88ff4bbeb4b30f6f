// Which peaks of all people's heatmaps belong to one person: associative embedding (Newell et al.,
// NeurIPS 2017), as HigherHRNet and LitePose do it.
#pragma once

#include <vector>

namespace edgepose {

struct GroupingSettings {
    float least_peak;   // value from which on a peak counts
    double tag_reach;   // the largest distance of a person's tags
    int most_people;    // peaks per joint, and people a joint may be given to
};

// A peak of one joint's map: where, in cells of the doubled maps.
struct Peak {
    float x = 0;
    float y = 0;
    float value = 0;  // 0: not found
    float tag = 0;
};

// A person's peaks, one per joint.
using Group = std::vector<Peak>;

// Gives each joint's peaks to the people that the joints before have begun, nearest mean tag first;
// equal distances (rounded to whole numbers) to the better peak; who is too far away is a new
// person. `peaks` per joint, best first.
std::vector<Group> group_peaks(
    const std::vector<std::vector<Peak>>& peaks, const GroupingSettings& settings);

}  // namespace edgepose
