#include "missing.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "lanes.h"
#include "peaks.h"

namespace edgepose {

namespace {

constexpr int kCells = kDoubledSide * kDoubledSide;
constexpr int kTriedFirst = 2;  // the most promising blocks: what they have rules most others out
constexpr float kNothing = -std::numeric_limits<float>::infinity();
constexpr float kRounding = 1e-3f;  // by which a distance may come out smaller than its bound

// A block of the doubled maps.
struct Doubled {
    float heat[kCells];
    float tags[kCells];
    float highest;
};

Doubled look_into(const JointMaps& maps, Block block) {
    Doubled found;
    const Patch<8> heat = doubled<6, 1>(fine_heat(maps, block));
    const Patch<8> tags = doubled<6, 1>(fine_tags(maps, block));
    memcpy(found.heat, heat.cells, sizeof found.heat);
    memcpy(found.tags, tags.cells, sizeof found.tags);
    found.highest = found.heat[first_highest(found.heat, kCells)];
    return found;
}

Lanes score(Lanes heat, Lanes tag, Lanes wanted) {
    const Lanes away = tag - wanted;
    return heat - rounded(higher(away, -away));
}

// Looks for one joint of one person after the other. Blocks are enlarged once.
class Search {
public:
    Search(const JointMaps& maps, const Bounds& bounds)
        : maps_(maps), bounds_(bounds), slots_(bounds.heat.size(), -1), limits_(slots_.size()) {}

    Peak find(float wanted) {
        best_ = kNothing;
        set_limits(wanted);
        const int count = int(limits_.size());
        for (int i = 0; i < kTriedFirst; ++i) {
            const int block = first_highest(limits_.data(), count);
            look(block, wanted);
            limits_[block] = kNothing;
        }
        for (int block = 0; block < count; ++block) {
            if (limits_[block] > best_) look(block, wanted);
        }
        if (best_ == kNothing) return {};
        // A cell beyond the edge is as good as the one at the edge, of which it is a copy.
        return peak_at(maps_, std::min(y_, 4 * maps_.height - 1), std::min(x_, 4 * maps_.width - 1));
    }

private:
    float away(int block, float wanted) const {
        const float below = bounds_.low_tag[block] - wanted;
        const float above = wanted - bounds_.high_tag[block];
        return std::max(std::max(below, above) - kRounding, 0.0f);
    }

    // What each block can reach: the last few of them may be done one by one.
    void set_limits(float wanted) {
        const int count = int(limits_.size());
        const Lanes want = all_of(wanted), slack = all_of(kRounding), zero = all_of(0);
        int i = 0;
        for (; i + kLanes <= count; i += kLanes) {
            const Lanes below = load(&bounds_.low_tag[i]) - want;
            const Lanes above = want - load(&bounds_.high_tag[i]);
            const Lanes away = higher(higher(below, above) - slack, zero);
            store(&limits_[i], load(&bounds_.heat[i]) - rounded(away));
        }
        for (; i < count; ++i) limits_[i] = bounds_.heat[i] - std::nearbyint(away(i, wanted));
    }

    void look(int block, float wanted) {
        if (slots_[block] < 0) {
            slots_[block] = int(seen_.size());
            seen_.push_back(look_into(maps_, bounds_.block(block)));
        }
        const Doubled& cells = seen_[slots_[block]];
        if (cells.highest - std::nearbyint(away(block, wanted)) <= best_) return;
        float scores[kCells];
        Lanes most = all_of(kNothing);
        for (int i = 0; i < kCells; i += kLanes) {
            const Lanes each = score(load(cells.heat + i), load(cells.tags + i), all_of(wanted));
            most = higher(each, most);
            store(scores + i, each);
        }
        if (!(highest_of(most) > best_)) return;
        const int index = first_highest(scores, kCells);
        best_ = scores[index];
        y_ = kDoubledSide * bounds_.block(block).row + index / kDoubledSide;
        x_ = kDoubledSide * bounds_.block(block).column + index % kDoubledSide;
    }

    const JointMaps& maps_;
    const Bounds& bounds_;
    std::vector<int> slots_;  // of each block in `seen_`
    std::vector<float> limits_;
    std::vector<Doubled> seen_;
    float best_ = kNothing;
    int y_ = 0;
    int x_ = 0;
};

}  // namespace

std::vector<Peak> most_likely(
    const JointMaps& maps, const Bounds& bounds, const std::vector<float>& wanted) {
    Search search(maps, bounds);
    std::vector<Peak> found;
    for (float tag : wanted) found.push_back(search.find(tag));
    return found;
}

}  // namespace edgepose
