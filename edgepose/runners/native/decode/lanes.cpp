#include "lanes.h"

#include <limits>

namespace edgepose {

int first_highest(const float* values, int count) {
    Lanes most = all_of(-std::numeric_limits<float>::infinity());
    int i = 0;
    for (; i + kLanes <= count; i += kLanes) most = higher(load(values + i), most);
    float highest = highest_of(most);
    for (; i < count; ++i) highest = values[i] > highest ? values[i] : highest;
    for (i = 0; i < count; ++i) {
        if (values[i] == highest) return i;
    }
    return 0;  // nothing but NaN
}

void keep_higher(float* into, const float* row, int count) {
    int i = 0;
    for (; i + kLanes <= count; i += kLanes) store(into + i, higher(load(row + i), load(into + i)));
    for (; i < count; ++i) into[i] = row[i] > into[i] ? row[i] : into[i];
}

void keep_lower(float* into, const float* row, int count) {
    int i = 0;
    for (; i + kLanes <= count; i += kLanes) store(into + i, lower(load(row + i), load(into + i)));
    for (; i < count; ++i) into[i] = row[i] < into[i] ? row[i] : into[i];
}

}  // namespace edgepose
