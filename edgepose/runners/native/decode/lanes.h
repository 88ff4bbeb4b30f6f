// Four floats at a time: what every CPU that we run on has, and -Os makes no use of by itself.
#pragma once

#include <cstring>

namespace edgepose {

using Lanes = float __attribute__((vector_size(16)));
constexpr int kLanes = 4;

inline Lanes load(const float* from) {
    Lanes lanes;
    memcpy(&lanes, from, sizeof lanes);
    return lanes;
}

inline void store(float* to, Lanes lanes) { memcpy(to, &lanes, sizeof lanes); }

inline Lanes all_of(float value) { return Lanes{value, value, value, value}; }

inline Lanes higher(Lanes a, Lanes b) { return a > b ? a : b; }
inline Lanes lower(Lanes a, Lanes b) { return a < b ? a : b; }

inline float highest_of(Lanes lanes) {
    const float a = lanes[0] > lanes[1] ? lanes[0] : lanes[1];
    const float b = lanes[2] > lanes[3] ? lanes[2] : lanes[3];
    return a > b ? a : b;
}

// To the nearest whole number, halves to the even one; what is above 2^22 becomes that.
inline Lanes rounded(Lanes not_negative) {
    const Lanes magic = all_of(12582912.0f);  // 1.5 * 2^23: its last bit is worth 1
    return (lower(not_negative, all_of(4194304.0f)) + magic) - magic;
}

// Index of the first highest of `count` > 0 values.
int first_highest(const float* values, int count);

// Into `into`: of `count` values in two rows the higher, or the lower, ones.
void keep_higher(float* into, const float* row, int count);
void keep_lower(float* into, const float* row, int count);

}  // namespace edgepose
