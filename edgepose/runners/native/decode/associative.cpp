#include "associative.h"

#include "missing.h"
#include "peaks.h"

namespace edgepose {

namespace {

std::vector<JointMaps> joints_of(const Tensor& out0, const Tensor& out1) {
    const int keypoints = out1.shape[1], height = out0.shape[2], width = out0.shape[3];
    const size_t cells = size_t(height) * width;
    std::vector<JointMaps> joints;
    for (int i = 0; i < keypoints; ++i) {
        joints.push_back({&out0.values[i * cells], &out0.values[(keypoints + i) * cells],
                          &out1.values[i * 4 * cells], height, width});
    }
    return joints;
}

float mean_tag(const Group& group) {
    double sum = 0;
    int count = 0;
    for (const Peak& peak : group) {
        if (peak.value <= 0) continue;
        sum += peak.tag;
        ++count;
    }
    return static_cast<float>(sum / count);
}

float mean_value(const Group& group) {
    double sum = 0;
    for (const Peak& peak : group) sum += peak.value;
    return static_cast<float>(sum / group.size());
}

void fill_missing(
    std::vector<Group>& groups, const std::vector<JointMaps>& joints,
    const std::vector<Bounds>& bounds) {
    std::vector<float> tags;
    for (const Group& group : groups) tags.push_back(mean_tag(group));
    for (size_t joint = 0; joint < joints.size(); ++joint) {
        std::vector<size_t> people;
        std::vector<float> wanted;
        for (size_t i = 0; i < groups.size(); ++i) {
            if (groups[i][joint].value > 0) continue;
            people.push_back(i);
            wanted.push_back(tags[i]);
        }
        if (people.empty()) continue;
        const std::vector<Peak> found = most_likely(joints[joint], bounds[joint], wanted);
        for (size_t i = 0; i < people.size(); ++i) {
            if (found[i].value > 0) groups[people[i]][joint] = found[i];
        }
    }
}

}  // namespace

std::vector<Person> decode_associative(
    const Tensor& out0, const Tensor& out1, InputSize input, const GroupingSettings& settings) {
    const std::vector<JointMaps> joints = joints_of(out0, out1);
    std::vector<Bounds> bounds;
    std::vector<std::vector<Peak>> peaks;
    for (const JointMaps& maps : joints) {
        bounds.push_back(bounds_of(maps));
        peaks.push_back(find_peaks(maps, bounds.back(), settings));
    }
    std::vector<Group> groups = group_peaks(peaks, settings);
    std::vector<float> scores;
    for (const Group& group : groups) scores.push_back(mean_value(group));
    fill_missing(groups, joints, bounds);

    const double x_scale = input.width / (4.0 * out0.shape[3]);
    const double y_scale = input.height / (4.0 * out0.shape[2]);
    std::vector<Person> people;
    for (size_t i = 0; i < groups.size(); ++i) {
        Person person{{}, scores[i]};
        for (const Peak& peak : groups[i]) {
            person.points.push_back({peak.x * x_scale, peak.y * y_scale, peak.value});
        }
        people.push_back(std::move(person));
    }
    return people;
}

}  // namespace edgepose
