#include "joint_maps.h"

#include <algorithm>

#include "lanes.h"

namespace edgepose {

namespace {

// A map with what lies beyond its edges: the cells at the edges.
struct Cells {
    const float* values;
    int height;
    int width;

    float at(int y, int x) const {
        return values[size_t(std::clamp(y, 0, height - 1)) * width + std::clamp(x, 0, width - 1)];
    }
    float enlarged(int y, int x) const {
        const int top = (y - 1) >> 1, left = (x - 1) >> 1;
        const float above = y % 2 ? 0.75f : 0.25f, before = x % 2 ? 0.75f : 0.25f;
        const float upper = before * at(top, left) + (1 - before) * at(top, left + 1);
        const float under = before * at(top + 1, left) + (1 - before) * at(top + 1, left + 1);
        return above * upper + (1 - above) * under;
    }
    template <int N>
    Patch<N> patch(int top, int left) const {
        Patch<N> found;
        const bool is_inside = top >= 0 && left >= 0 && top + N <= height && left + N <= width;
        for (int y = 0; y < N; ++y) {
            for (int x = 0; x < N; ++x) {
                found.cells[y][x] =
                    is_inside ? values[(top + y) * width + left + x] : at(top + y, left + x);
            }
        }
        return found;
    }
};

Cells coarse_heat(const JointMaps& maps) { return {maps.heat, maps.height, maps.width}; }
Cells coarse_tags(const JointMaps& maps) { return {maps.tags, maps.height, maps.width}; }
Cells fine(const JointMaps& maps) { return {maps.fine, 2 * maps.height, 2 * maps.width}; }

using Keep = void (*)(float* into, const float* row, int count);

// The extremes of windows of `reach` + `step` + `reach` cells that begin `reach` cells before every
// `step`-th one, both ways.
template <typename Better>
std::vector<float> extremes(
    const Cells& map, int step, int rows, int columns, Keep keep, Better better) {
    const int reach = 1;
    std::vector<float> found(size_t(rows) * columns), line(map.width);
    for (int row = 0; row < rows; ++row) {
        const int first = std::max(row * step - reach, 0);
        const int last = std::min(row * step + step - 1 + reach, map.height - 1);
        const float* start = map.values + size_t(first) * map.width;
        std::copy(start, start + map.width, line.begin());
        for (int y = first + 1; y <= last; ++y) {
            keep(line.data(), map.values + size_t(y) * map.width, map.width);
        }
        for (int column = 0; column < columns; ++column) {
            const int left = std::max(column * step - reach, 0);
            const int right = std::min(column * step + step - 1 + reach, map.width - 1);
            float most = line[left];
            for (int x = left + 1; x <= right; ++x) most = better(line[x], most) ? line[x] : most;
            found[size_t(row) * columns + column] = most;
        }
    }
    return found;
}

}  // namespace

float mean_heat(const JointMaps& maps, int y, int x) {
    const int row = std::clamp(y, 0, 2 * maps.height - 1);
    const int column = std::clamp(x, 0, 2 * maps.width - 1);
    return (coarse_heat(maps).enlarged(row, column) + fine(maps).at(row, column)) / 2;
}

float doubled_tag(const JointMaps& maps, int y, int x) {
    const Cells tags = coarse_tags(maps);
    const auto enlarged = [&](int row, int column) {
        return tags.enlarged(
            std::clamp(row, 0, 2 * maps.height - 1), std::clamp(column, 0, 2 * maps.width - 1));
    };
    const int top = (y - 1) >> 1, left = (x - 1) >> 1;
    const float above = y % 2 ? 0.75f : 0.25f, before = x % 2 ? 0.75f : 0.25f;
    const float upper = before * enlarged(top, left) + (1 - before) * enlarged(top, left + 1);
    const float under =
        before * enlarged(top + 1, left) + (1 - before) * enlarged(top + 1, left + 1);
    return above * upper + (1 - above) * under;
}

Patch<kFineSide + 2> fine_heat(const JointMaps& maps, Block block) {
    Patch<6> heat = doubled<4, 0>(
        coarse_heat(maps).patch<4>(2 * block.row - 1, 2 * block.column - 1));
    const Patch<6> more = fine(maps).patch<6>(4 * block.row - 1, 4 * block.column - 1);
    for (int y = 0; y < 6; ++y) {
        for (int x = 0; x < 6; ++x) {
            heat.cells[y][x] = (heat.cells[y][x] + more.cells[y][x]) / 2;
        }
    }
    return heat;
}

Patch<kFineSide + 2> fine_tags(const JointMaps& maps, Block block) {
    return doubled<4, 0>(coarse_tags(maps).patch<4>(2 * block.row - 1, 2 * block.column - 1));
}

Patch<8> around(const JointMaps& maps, int y, int x) {
    Patch<5> heat;
    for (int row = 0; row < 5; ++row) {
        for (int column = 0; column < 5; ++column) {
            heat.cells[row][column] = mean_heat(maps, y - 2 + row, x - 2 + column);
        }
    }
    return doubled<5, 0>(heat);
}

Bounds bounds_of(const JointMaps& maps) {
    Bounds bounds{(maps.height + 1) / 2, (maps.width + 1) / 2, {}, {}, {}};
    const auto higher_than = [](float a, float b) { return a > b; };
    const auto lower_than = [](float a, float b) { return a < b; };
    const int rows = bounds.rows, columns = bounds.columns;
    const Cells tags = coarse_tags(maps);
    bounds.low_tag = extremes(tags, 2, rows, columns, keep_lower, lower_than);
    bounds.high_tag = extremes(tags, 2, rows, columns, keep_higher, higher_than);
    bounds.heat = extremes(coarse_heat(maps), 2, rows, columns, keep_higher, higher_than);
    const std::vector<float> more = extremes(fine(maps), 4, rows, columns, keep_higher, higher_than);
    for (size_t i = 0; i < more.size(); ++i) bounds.heat[i] = (bounds.heat[i] + more[i]) / 2;
    return bounds;
}

}  // namespace edgepose
