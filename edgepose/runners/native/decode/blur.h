// The Gaussian before the logarithm of a heatmap; beyond its edges are zeros.
#pragma once

#include <cstddef>
#include <vector>

namespace edgepose {

// One joint's cells [height, width].
struct Map {
    const float* cells;
    int height;
    int width;

    float at(int x, int y) const { return cells[std::size_t(y) * width + x]; }
};

class Blur {
public:
    explicit Blur(int kernel);  // cells, odd; sigma follows from it as in OpenCV

    std::vector<float> whole(const Map& map) const;

    // `side` x `side` blurred cells from (left, top) on, into `into`.
    void patch(const Map& map, int left, int top, int side, float* into) const;

private:
    std::vector<float> weights_;
};

}  // namespace edgepose
