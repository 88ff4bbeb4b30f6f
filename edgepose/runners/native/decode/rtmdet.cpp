#include "rtmdet.h"

#include <algorithm>
#include <cmath>

#include "nms.h"
#include "order.h"

namespace edgepose {

namespace {

constexpr size_t kBestPerLevel = 1000;  // mmdet's nms_pre
constexpr size_t kMostBoxes = 100;      // mmdet's max_per_img

// One level in either layout.
struct Level {
    const float* logits;
    const float* distances;
    int rows, columns, classes;
    size_t cell_step, logit_step, side_step;  // from one cell, class, side to the next

    float logit(int cell, int label) const { return logits[cell * cell_step + label * logit_step]; }
    float side(int cell, int index) const {
        return distances[cell * cell_step + index * side_step];
    }
};

Level level_of(const std::vector<const Tensor*>& outputs, size_t index, const RTMDetSettings& is) {
    const Tensor& first = *outputs[index];
    if (is.is_fused) {
        const int depth = first.shape[3];
        const float* values = first.values.data();
        return {values, values + depth - 4, first.shape[1], first.shape[2], depth - 4,
                size_t(depth), 1, 1};
    }
    const int rows = first.shape[2], columns = first.shape[3];
    const size_t cells = size_t(rows) * columns;
    return {first.values.data(), outputs[index + is.strides.size()]->values.data(), rows, columns,
            first.shape[1], 1, cells, cells};
}

// A logit that cannot reach the score, by a margin for rounding: an exponential less per cell.
float least_logit(double score) {
    if (score <= 0) return -INFINITY;
    if (score >= 1) return INFINITY;
    return logf(static_cast<float>(score / (1 - score))) - 1e-3f;
}

float sigmoid(float logit) { return 0.5f * (1 + tanhf(0.5f * logit)); }

Box box_of(const Level& level, int cell, int stride, InputSize input) {
    const float x = float(cell % level.columns) * stride, y = float(cell / level.columns) * stride;
    const auto cut = [](float value, int most) { return std::clamp(value, 0.0f, float(most)); };
    Box box{};
    box.x1 = cut(x - level.side(cell, 0), input.width);
    box.y1 = cut(y - level.side(cell, 1), input.height);
    box.x2 = cut(x + level.side(cell, 2), input.width);
    box.y2 = cut(y + level.side(cell, 3), input.height);
    return box;
}

// The best pairs of cell and class of one level that have an area.
void add_best(
    const Level& level, int stride, InputSize input, double threshold, std::vector<Box>& boxes) {
    const float least = least_logit(threshold);
    std::vector<int> pairs;
    std::vector<float> scores;
    for (int cell = 0; cell < level.rows * level.columns; ++cell) {
        for (int label = 0; label < level.classes; ++label) {
            const float logit = level.logit(cell, label);
            if (!(logit > least)) continue;
            const float score = sigmoid(logit);
            if (!(score > static_cast<float>(threshold))) continue;
            pairs.push_back(cell * level.classes + label);
            scores.push_back(score);
        }
    }
    size_t taken = 0;
    for (int index : best_first(scores)) {
        if (taken++ == kBestPerLevel) break;
        Box box = box_of(level, pairs[index] / level.classes, stride, input);
        box.score = scores[index];
        box.label = pairs[index] % level.classes;
        if (box.x2 > box.x1 && box.y2 > box.y1) boxes.push_back(box);
    }
}

}  // namespace

std::vector<Box> decode_rtmdet(
    const std::vector<const Tensor*>& outputs, const RTMDetSettings& settings, InputSize input) {
    std::vector<Box> boxes;
    for (size_t i = 0; i < settings.strides.size(); ++i) {
        const Level level = level_of(outputs, i, settings);
        add_best(level, settings.strides[i], input, settings.score_threshold, boxes);
    }
    return suppress_boxes(boxes, settings.nms_iou, kMostBoxes);
}

}  // namespace edgepose
