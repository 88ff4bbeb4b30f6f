#include "peaks.h"

#include "order.h"

namespace edgepose {

namespace {

// A peak and its cell in the doubled maps.
struct Candidate {
    int y;
    int x;
    Peak peak;
};

bool is_highest(const Patch<6>& patch, int y, int x) {
    const float value = patch.cells[y][x];
    for (int row = y - 1; row <= y + 1; ++row) {
        for (int column = x - 1; column <= x + 1; ++column) {
            if (patch.cells[row][column] > value) return false;
        }
    }
    return true;
}

constexpr int kFirst = 3;  // the fine cell's own first cell in the doubled map around it

// In `around`, the doubled map around the fine cell (y, x), at its cell (row, column).
Candidate peak_in(const JointMaps& maps, const Patch<8>& around, int y, int x, int row, int column) {
    const auto& cells = around.cells;
    Candidate found{2 * y - kFirst + row, 2 * x - kFirst + column, {}};
    found.peak.x = found.x + (cells[row][column + 1] > cells[row][column - 1] ? 0.75f : 0.25f);
    found.peak.y = found.y + (cells[row + 1][column] > cells[row - 1][column] ? 0.75f : 0.25f);
    found.peak.value = cells[row][column];
    found.peak.tag = doubled_tag(maps, found.y, found.x);
    return found;
}

// Whether no cell of the doubled map's window of 5 x 5 is higher.
bool is_peak(const Patch<8>& around, int row, int column) {
    for (int y = row - 2; y <= row + 2; ++y) {
        for (int x = column - 2; x <= column + 2; ++x) {
            if (around.cells[y][x] > around.cells[row][column]) return false;
        }
    }
    return true;
}

// The highest of the 4 x 4 doubled cells on and around the fine cell (y, x), where it is a peak
// above `least`.
void add_peak_near(
    const JointMaps& maps, int y, int x, float least, std::vector<Candidate>& found) {
    const Patch<8> near = around(maps, y, x);
    // Beyond the map are copies of its edge.
    const int top = y ? kFirst - 1 : kFirst, bottom = y < 2 * maps.height - 1 ? 5 : 4;
    const int left = x ? kFirst - 1 : kFirst, right = x < 2 * maps.width - 1 ? 5 : 4;
    int best_row = top, best_column = left;
    for (int row = top; row <= bottom; ++row) {
        for (int column = left; column <= right; ++column) {
            if (near.cells[row][column] > near.cells[best_row][best_column]) {
                best_row = row;
                best_column = column;
            }
        }
    }
    if (near.cells[best_row][best_column] > least && is_peak(near, best_row, best_column)) {
        found.push_back(peak_in(maps, near, y, x, best_row, best_column));
    }
}

void add_peaks_in(
    const JointMaps& maps, Block block, float least, std::vector<Candidate>& found) {
    const Patch<6> patch = fine_heat(maps, block);
    for (int row = 1; row <= kFineSide; ++row) {
        for (int column = 1; column <= kFineSide; ++column) {
            if (!(patch.cells[row][column] > least) || !is_highest(patch, row, column)) continue;
            const int y = kFineSide * block.row + row - 1;
            const int x = kFineSide * block.column + column - 1;
            if (y < 2 * maps.height && x < 2 * maps.width) add_peak_near(maps, y, x, least, found);
        }
    }
}

}  // namespace

std::vector<Peak> find_peaks(
    const JointMaps& maps, const Bounds& bounds, const GroupingSettings& settings) {
    std::vector<Candidate> found;
    for (int i = 0; i < bounds.rows * bounds.columns; ++i) {
        if (bounds.heat[i] > settings.least_peak) {
            add_peaks_in(maps, bounds.block(i), settings.least_peak, found);
        }
    }
    std::vector<float> values;
    for (const Candidate& each : found) values.push_back(each.peak.value);
    std::vector<Peak> peaks;
    const Candidate* last = nullptr;
    for (int index : best_first(values)) {
        if (int(peaks.size()) == settings.most_people) break;
        const Candidate& each = found[index];
        // Two equal fine cells have the same peak.
        if (!last || each.y != last->y || each.x != last->x) peaks.push_back(each.peak);
        last = &each;
    }
    return peaks;
}

Peak peak_at(const JointMaps& maps, int y, int x) {
    const int row = y % 2 + kFirst, column = x % 2 + kFirst;
    return peak_in(maps, around(maps, y / 2, x / 2), y / 2, x / 2, row, column).peak;
}

}  // namespace edgepose
