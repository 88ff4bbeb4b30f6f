#include "decoded.h"

#include <cmath>
#include <cstdio>
#include <initializer_list>

namespace edgepose {

namespace {

// Nine digits tell every float from its neighbours, and a pixel to a millionth.
void add_number(std::string& list, double value) {
    char text[32];
    snprintf(text, sizeof text, "%.9g", value);
    if (list.back() != '[') list += ", ";
    list += std::isfinite(value) ? text : "null";
}

void add_list(std::string& list, std::initializer_list<double> values) {
    if (list.back() != '[') list += ", ";
    list += '[';
    for (double value : values) add_number(list, value);
    list += ']';
}

}  // namespace

JsonObject& add_decoded(JsonObject& line, const Decoded& decoded) {
    std::string list = "[";
    if (decoded.is_detection) {
        for (const Box& box : decoded.boxes) {
            add_list(list, {box.x1, box.y1, box.x2, box.y2, box.score, double(box.label)});
        }
        return line.add_raw("boxes", list + "]");
    }
    std::string scores = "[";
    for (const Person& person : decoded.people) {
        list += list.back() == '[' ? "[" : ", [";
        for (const Keypoint& point : person.points) add_list(list, {point.x, point.y, point.score});
        list += ']';
        add_number(scores, person.score);
    }
    return line.add_raw("people", list + "]").add_raw("scores", scores + "]");
}

Decoded one_person(std::vector<Keypoint> points) {
    double sum = 0;
    for (const Keypoint& each : points) sum += each.score;
    const float score = points.empty() ? 0.0f : static_cast<float>(sum / points.size());
    Decoded decoded;
    decoded.people.push_back({std::move(points), score});
    return decoded;
}

}  // namespace edgepose
