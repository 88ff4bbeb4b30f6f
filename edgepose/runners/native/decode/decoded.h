// What decoders find, in pixels of the net's input: the same results as edgepose.pose.decode.
#pragma once

#include <vector>

#include "../json.h"

namespace edgepose {

struct Keypoint {
    double x;
    double y;
    float score;  // <= 0: not found
};

struct Person {
    std::vector<Keypoint> points;
    float score;  // mean over its points; of a bottom-up net, before missing ones were looked for
};

struct Box {
    float x1;
    float y1;
    float x2;
    float y2;
    float score;
    int label;
};

// Of a pose net people, of a detector boxes.
struct Decoded {
    bool is_detection = false;
    std::vector<Person> people;
    std::vector<Box> boxes;
};

// The fields of a `decoded` line.
JsonObject& add_decoded(JsonObject& line, const Decoded& decoded);

// One person whose score is the mean of its points'.
Decoded one_person(std::vector<Keypoint> points);

}  // namespace edgepose
