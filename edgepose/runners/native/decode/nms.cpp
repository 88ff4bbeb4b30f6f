#include "nms.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "order.h"

namespace edgepose {

namespace {

double overlap(double low, double high, double other_low, double other_high) {
    return std::max(std::min(high, other_high) - std::max(low, other_low), 0.0);
}

double area(const Box& box) { return (double(box.x2) - box.x1) * (double(box.y2) - box.y1); }

double intersection_over_union(const Box& a, const Box& b) {
    const double shared =
        overlap(a.x1, a.x2, b.x1, b.x2) * overlap(a.y1, a.y2, b.y1, b.y2);
    const double all = area(a) + area(b) - shared;
    return all > 0 ? shared / all : 0;
}

double similarity(
    const Person& a, const Person& b, double mean_area, const std::vector<double>& sigmas) {
    double sum = 0;
    for (size_t i = 0; i < sigmas.size(); ++i) {
        const double x = a.points[i].x - b.points[i].x, y = a.points[i].y - b.points[i].y;
        const double scale = 4 * sigmas[i] * sigmas[i] * mean_area * 2;
        sum += std::exp(-(x * x + y * y) / scale);
    }
    return sum / sigmas.size();
}

}  // namespace

std::vector<Box> suppress_boxes(const std::vector<Box>& boxes, double iou, size_t most) {
    std::vector<float> scores;
    for (const Box& box : boxes) scores.push_back(box.score);
    std::vector<Box> kept;
    for (int index : best_first(scores)) {
        if (kept.size() == most) break;
        const Box& box = boxes[index];
        const bool falls = std::any_of(kept.begin(), kept.end(), [&](const Box& better) {
            return better.label == box.label && intersection_over_union(better, box) > iou;
        });
        if (!falls) kept.push_back(box);
    }
    return kept;
}

std::vector<int> suppress_people(
    const std::vector<Person>& people, const std::vector<double>& areas,
    const std::vector<double>& sigmas, double limit) {
    std::vector<float> scores;
    for (const Person& person : people) scores.push_back(person.score);
    std::vector<int> kept;
    for (int index : best_first(scores)) {
        const bool falls = std::any_of(kept.begin(), kept.end(), [&](int better) {
            const double mean =
                (areas[better] + areas[index]) / 2 + std::numeric_limits<double>::epsilon();
            return similarity(people[better], people[index], mean, sigmas) > limit;
        });
        if (!falls) kept.push_back(index);
    }
    return kept;
}

}  // namespace edgepose
