#include "blur.h"

#include <algorithm>
#include <cmath>

#include "lanes.h"

namespace edgepose {

namespace {

// OpenCV has these by heart; they are no samples of a Gaussian.
const float kSmall[][5] = {{1.0f},
                           {0.5f, 0.25f},
                           {0.375f, 0.25f, 0.0625f},
                           {0.28125f, 0.21875f, 0.109375f, 0.03125f},
                           {0.234375f, 0.19921875f, 0.1171875f, 0.05078125f, 0.015625f}};

// into[i] += weight * row[i]
void add_scaled(float* into, const float* row, float weight, int count) {
    int i = 0;
    for (; i + kLanes <= count; i += kLanes) {
        store(into + i, load(into + i) + load(row + i) * all_of(weight));
    }
    for (; i < count; ++i) into[i] += row[i] * weight;
}

}  // namespace

Blur::Blur(int kernel) : weights_(kernel) {
    const int reach = kernel / 2;
    const bool is_known = reach < int(sizeof kSmall / sizeof kSmall[0]);
    const float sigma = 0.3f * (reach - 1) + 0.8f;
    const auto sample = [&](int away) { return expf(-0.5f * away * away / (sigma * sigma)); };
    float sum = 0;
    for (int i = 0; i < kernel; ++i) sum += sample(i - reach);
    for (int i = 0; i < kernel; ++i) {
        const int away = std::abs(i - reach);
        weights_[i] = is_known ? kSmall[reach][away] : sample(away) / sum;
    }
}

std::vector<float> Blur::whole(const Map& map) const {
    const int reach = int(weights_.size()) / 2, width = map.width, padded = width + 2 * reach;
    std::vector<float> down(padded), blurred(size_t(map.height) * width);
    for (int y = 0; y < map.height; ++y) {
        std::fill(down.begin(), down.end(), 0.0f);
        const int first = std::max(y - reach, 0), last = std::min(y + reach, map.height - 1);
        for (int row = first; row <= last; ++row) {
            const float* cells = map.cells + size_t(row) * width;
            add_scaled(&down[reach], cells, weights_[row - y + reach], width);
        }
        float* into = &blurred[size_t(y) * width];
        for (size_t i = 0; i < weights_.size(); ++i) add_scaled(into, &down[i], weights_[i], width);
    }
    return blurred;
}

void Blur::patch(const Map& map, int left, int top, int side, float* into) const {
    const int reach = int(weights_.size()) / 2;
    const int first = std::max(left - reach, 0), end = std::min(left + side + reach, map.width);
    std::vector<float> down(side + 2 * reach);
    for (int y = 0; y < side; ++y) {
        std::fill(down.begin(), down.end(), 0.0f);
        const int middle = top + y;
        const int high = std::max(middle - reach, 0), low = std::min(middle + reach, map.height - 1);
        for (int row = high; row <= low; ++row) {
            const float* cells = map.cells + size_t(row) * map.width + first;
            const float weight = weights_[row - middle + reach];
            add_scaled(&down[first - left + reach], cells, weight, end - first);
        }
        float* line = into + y * side;
        std::fill(line, line + side, 0.0f);
        for (size_t i = 0; i < weights_.size(); ++i) add_scaled(line, &down[i], weights_[i], side);
    }
}

}  // namespace edgepose
