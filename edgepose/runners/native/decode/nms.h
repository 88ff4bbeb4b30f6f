// Greedy non-maximum suppression: one person found twice is one person.
#pragma once

#include <vector>

#include "decoded.h"

namespace edgepose {

// The boxes that stay, best first, at most `most`. A box falls where its intersection over union
// with a better one of its class that stays is greater than `iou`.
std::vector<Box> suppress_boxes(const std::vector<Box>& boxes, double iou, size_t most);

// Indices of the people that stay, best score first. A pose falls where its similarity of key
// points with a better one that stays is greater than `limit`: the mean over points of
// exp(-d^2 / ((2 sigma)^2 * 2 a)), a the mean of both poses' `areas` in pixels^2, as mmpose has it.
std::vector<int> suppress_people(
    const std::vector<Person>& people, const std::vector<double>& areas,
    const std::vector<double>& sigmas, double limit);

}  // namespace edgepose
