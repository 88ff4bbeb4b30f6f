// One joint's maps of a bottom-up net, and what they would be if they were enlarged.
//
// The net gives a coarse heatmap and tags, and a fine heatmap twice as large. The algorithm wants
// the mean of both heatmaps at the fine size, and then all maps at twice that: all by bilinear
// interpolation with the cells' centres half a cell from the edges. Here only the surroundings
// that matter are enlarged.
#pragma once

#include <vector>

namespace edgepose {

struct JointMaps {
    const float* heat;  // [height, width]
    const float* tags;  // [height, width]
    const float* fine;  // [2 height, 2 width]
    int height;
    int width;
};

// The mean heatmap at a cell of the fine size; beyond the edge the cell at the edge counts.
float mean_heat(const JointMaps& maps, int y, int x);

// The tag at a cell of the doubled size (4 height, 4 width), which must exist.
float doubled_tag(const JointMaps& maps, int y, int x);

// Square neighbourhoods.
template <int N>
struct Patch {
    float cells[N][N];
};

// A patch twice as fine: from the second half of its first cell to the first half of its last one,
// less `Skip` cells on each side.
template <int N, int Skip>
Patch<2 * N - 2 - 2 * Skip> doubled(const Patch<N>& patch) {
    constexpr int kSide = 2 * N - 2 - 2 * Skip;
    const auto near = [](int i) { return (i + Skip) % 2 ? 0.25f : 0.75f; };
    Patch<kSide> finer;
    float lines[kSide][N];
    for (int i = 0; i < kSide; ++i) {
        const float* above = patch.cells[(i + Skip) / 2];
        const float* below = above + N;
        for (int x = 0; x < N; ++x) lines[i][x] = near(i) * above[x] + (1 - near(i)) * below[x];
    }
    for (int y = 0; y < kSide; ++y) {
        for (int i = 0; i < kSide; ++i) {
            const float* left = lines[y] + (i + Skip) / 2;
            finer.cells[y][i] = near(i) * left[0] + (1 - near(i)) * left[1];
        }
    }
    return finer;
}

// Maps are looked into block by block, of 2 x 2 coarse, 4 x 4 fine and 8 x 8 doubled cells.
constexpr int kFineSide = 4;
constexpr int kDoubledSide = 8;

struct Block {
    int row;
    int column;
};

// Both with one cell around the block.
Patch<kFineSide + 2> fine_heat(const JointMaps& maps, Block block);
Patch<kFineSide + 2> fine_tags(const JointMaps& maps, Block block);

// The doubled mean heatmap around a fine cell: from 3 cells before its first one on.
Patch<8> around(const JointMaps& maps, int y, int x);

// What no cell of a block exceeds, at any size. Row-major, [rows, columns].
struct Bounds {
    int rows;
    int columns;
    std::vector<float> heat;
    std::vector<float> low_tag;
    std::vector<float> high_tag;

    Block block(int index) const { return {index / columns, index % columns}; }
};

Bounds bounds_of(const JointMaps& maps);

}  // namespace edgepose
