#include "heatmap.h"

#include <algorithm>
#include <cmath>

#include "../failure.h"
#include "blur.h"
#include "lanes.h"

namespace edgepose {

namespace {

struct Step {
    double x = 0;
    double y = 0;
};

double sign(double value) { return (value > 0) - (value < 0); }

// Two cells at the low edge and one at the high one are left alone, and an axis is stepped only
// where the other coordinate is not 0: the reference's.
Step quarter_step(const Map& map, int x, int y) {
    Step step;
    if (x > 1 && x < map.width - 1 && y > 0) step.x = sign(map.at(x + 1, y) - map.at(x - 1, y)) / 4;
    if (y > 1 && y < map.height - 1 && x > 0) step.y = sign(map.at(x, y + 1) - map.at(x, y - 1)) / 4;
    return step;
}

// Derivatives in the middle of 5 x 5 logarithms, over two cells each. No step where it would be
// longer than a cell: there is no Gaussian.
Step dark_step(const Map& map, int x, int y, const Blur& blur) {
    if (x < 2 || x >= map.width - 2 || y < 2 || y >= map.height - 2) return {};
    float patch[5 * 5];
    blur.patch(map, x - 2, y - 2, 5, patch);
    double logs[5][5];
    for (int i = 0; i < 25; ++i) logs[i / 5][i % 5] = logf(std::max(patch[i], 1e-10f));
    const auto at = [&](int right, int down) { return logs[2 + down][2 + right]; };
    const double dx = (at(1, 0) - at(-1, 0)) / 2, dy = (at(0, 1) - at(0, -1)) / 2;
    const double dxx = (at(2, 0) - 2 * at(0, 0) + at(-2, 0)) / 4;
    const double dyy = (at(0, 2) - 2 * at(0, 0) + at(0, -2)) / 4;
    const double dxy = (at(1, 1) - at(-1, 1) - at(1, -1) + at(-1, -1)) / 4;
    const double determinant = dxx * dyy - dxy * dxy;
    if (determinant == 0) return {};
    const Step step{(dxy * dy - dyy * dx) / determinant, (dxy * dx - dxx * dy) / determinant};
    return std::fabs(step.x) <= 1 && std::fabs(step.y) <= 1 ? step : Step{};
}

// Derivatives over one cell; the blurred map has its old height again before it is limited, unless
// nothing in it is above 0: one cell among negative ones.
Step udp_step(const Map& map, int x, int y, const Blur& blur) {
    const std::vector<float> blurred = blur.whole(map);
    const Map soft{blurred.data(), map.height, map.width};
    const float highest = blurred[first_highest(blurred.data(), int(blurred.size()))];
    const float scale = highest > 0 ? map.at(x, y) / highest : 1.0f;
    const auto at = [&](int right, int down) {
        const int column = std::clamp(x + right, 0, map.width - 1);
        const int row = std::clamp(y + down, 0, map.height - 1);
        return double(logf(std::clamp(soft.at(column, row) * scale, 1e-3f, 50.0f)));
    };
    const double middle = at(0, 0), right = at(1, 0), below = at(0, 1);
    const double left = at(-1, 0), above = at(0, -1);
    const double dx = (right - left) / 2, dy = (below - above) / 2;
    constexpr double kTiny = 1.1920929e-07;  // keeps flat maps from a division by 0
    const double dxx = right - 2 * middle + left + kTiny;
    const double dyy = below - 2 * middle + above + kTiny;
    const double dxy =
        (at(1, 1) - right - below + 2 * middle - left - above + at(-1, -1)) / 2;
    const double determinant = dxx * dyy - dxy * dxy;
    if (determinant == 0) return {};
    return {(dxy * dy - dyy * dx) / determinant, (dxy * dx - dxx * dy) / determinant};
}

Step step_of(const Map& map, int x, int y, Refine refine, const Blur& blur) {
    switch (refine) {
        case Refine::kQuarter: return quarter_step(map, x, y);
        case Refine::kDark: return dark_step(map, x, y, blur);
        case Refine::kUdp: return udp_step(map, x, y, blur);
        default: return {};
    }
}

}  // namespace

Refine refine_named(const std::string& name) {
    if (name == "none") return Refine::kNone;
    if (name == "quarter") return Refine::kQuarter;
    if (name == "dark") return Refine::kDark;
    if (name == "udp") return Refine::kUdp;
    throw Failure(kBadPlan, "this runner has no refinement '" + name + "'");
}

std::vector<Keypoint> decode_heatmaps(
    const Tensor& heatmaps, InputSize input, Refine refine, int blur_kernel) {
    const int height = heatmaps.shape[2], width = heatmaps.shape[3];
    const int shared = refine == Refine::kUdp ? 1 : 0;  // first and last cell lie on the edges
    const double x_stride = double(input.width) / std::max(width - shared, 1);
    const double y_stride = double(input.height) / std::max(height - shared, 1);
    const Blur blur(blur_kernel);
    std::vector<Keypoint> points;
    for (int joint = 0; joint < heatmaps.shape[1]; ++joint) {
        const Map map{&heatmaps.values[size_t(joint) * height * width], height, width};
        const int best = first_highest(map.cells, height * width);
        const int x = best % width, y = best / width;
        const float score = map.cells[best];
        if (!(score > 0)) {
            points.push_back({-x_stride, -y_stride, score});
            continue;
        }
        const Step step = step_of(map, x, y, refine, blur);
        points.push_back({(x + step.x) * x_stride, (y + step.y) * y_stride, score});
    }
    return points;
}

}  // namespace edgepose
