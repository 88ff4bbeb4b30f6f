#include "simcc.h"

#include <algorithm>

#include "lanes.h"

namespace edgepose {

std::vector<Keypoint> decode_simcc(const Tensor& x, const Tensor& y, double split) {
    const int columns = x.shape[2], rows = y.shape[2];
    std::vector<Keypoint> points;
    for (int joint = 0; joint < x.shape[1]; ++joint) {
        const float* across = &x.values[size_t(joint) * columns];
        const float* down = &y.values[size_t(joint) * rows];
        const int column = first_highest(across, columns), row = first_highest(down, rows);
        const float score = std::min(across[column], down[row]);
        const bool is_found = score > 0;
        points.push_back({(is_found ? column : -1) / split, (is_found ? row : -1) / split, score});
    }
    return points;
}

}  // namespace edgepose
