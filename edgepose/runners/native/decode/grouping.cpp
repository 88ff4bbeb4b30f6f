#include "grouping.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "assignment.h"

namespace edgepose {

namespace {

constexpr double kPadCost = 1e10;
// Trunk and legs before elbows and wrists. CrowdPose gets the first 14, whatever these joints are.
constexpr int kOrder[] = {0, 1, 2, 3, 4, 5, 6, 11, 12, 7, 8, 9, 10, 13, 14, 15, 16};

std::vector<int> joint_order(int count) {
    if (count == 17 || count == 14) return {kOrder, kOrder + count};
    std::vector<int> order(count);
    std::iota(order.begin(), order.end(), 0);
    return order;
}

class Grouping {
public:
    Grouping(int joints, const GroupingSettings& settings) : joints_(joints), settings_(settings) {}

    void add(int joint, const std::vector<Peak>& peaks) {
        if (peaks.empty()) return;
        const std::vector<int> owners = owners_of(peaks);
        for (size_t i = 0; i < peaks.size(); ++i) {
            owners[i] < 0 ? begin(joint, peaks[i]) : give(people_[owners[i]], joint, peaks[i]);
        }
    }

    std::vector<Group> groups() const {
        std::vector<Group> all;
        for (const Someone& each : people_) all.push_back(each.group);
        return all;
    }

private:
    struct Someone {
        float first_tag;  // who has the very same one is taken for the same person
        float tag_sum;
        int tags;
        Group group;
    };

    std::vector<int> owners_of(const std::vector<Peak>& peaks) const {
        const int known = std::min(int(people_.size()), settings_.most_people);
        const int rows = int(peaks.size());
        if (!known) return std::vector<int>(rows, -1);
        Costs costs{rows, std::max(known, rows), {}};
        std::vector<double> distances;
        for (const Peak& peak : peaks) {
            for (int i = 0; i < costs.columns; ++i) {
                const double away = i < known ? distance(people_[i], peak) : 0;
                distances.push_back(away);
                costs.values.push_back(
                    i < known ? std::nearbyint(away) * 100 - peak.value : kPadCost);
            }
        }
        std::vector<int> owners = assign(costs);
        for (int row = 0; row < rows; ++row) {
            const int person = owners[row];
            const bool is_his = person >= 0 && person < known &&
                                distances[size_t(row) * costs.columns + person] < settings_.tag_reach;
            if (!is_his) owners[row] = -1;
        }
        return owners;
    }

    static double distance(const Someone& person, const Peak& peak) {
        return std::fabs(double(peak.tag) - person.tag_sum / static_cast<float>(person.tags));
    }

    void begin(int joint, const Peak& peak) {
        const auto same = std::find_if(people_.begin(), people_.end(), [&](const Someone& each) {
            return each.first_tag == peak.tag;
        });
        if (same == people_.end()) {
            people_.push_back({peak.tag, peak.tag, 1, Group(joints_)});
            people_.back().group[joint] = peak;
            return;
        }
        same->group[joint] = peak;
        same->tag_sum = peak.tag;
        same->tags = 1;
    }

    static void give(Someone& person, int joint, const Peak& peak) {
        person.group[joint] = peak;
        person.tag_sum += peak.tag;
        ++person.tags;
    }

    const int joints_;
    const GroupingSettings settings_;
    std::vector<Someone> people_;
};

}  // namespace

std::vector<Group> group_peaks(
    const std::vector<std::vector<Peak>>& peaks, const GroupingSettings& settings) {
    Grouping grouping(int(peaks.size()), settings);
    for (int joint : joint_order(int(peaks.size()))) grouping.add(joint, peaks[joint]);
    return grouping.groups();
}

}  // namespace edgepose
