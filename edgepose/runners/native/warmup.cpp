#include "warmup.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace edgepose {

namespace {

constexpr int kHalf = 20;
using Values = std::vector<double>;

// Linear between the two nearest order statistics.
double quantile(Values values, double fraction) {
    std::sort(values.begin(), values.end());
    double position = fraction * static_cast<double>(values.size() - 1);
    size_t below = static_cast<size_t>(position);
    size_t above = std::min(below + 1, values.size() - 1);
    return values[below] + (position - static_cast<double>(below)) * (values[above] - values[below]);
}

double mean(const Values& values) {
    return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

// Median absolute deviation from the median.
double deviation(const Values& values) {
    double middle = quantile(values, 0.5);
    Values distances;
    for (double value : values) distances.push_back(std::fabs(value - middle));
    return quantile(distances, 0.5);
}

// (early - late) / late; 0 where both are equal.
double change(double early, double late) {
    if (early == late) return 0;
    return late != 0 ? (early - late) / late : std::numeric_limits<double>::infinity();
}

}  // namespace

bool has_converged(const std::vector<int64_t>& latencies_ns) {
    if (latencies_ns.size() < 2 * kHalf) return false;
    Values early(latencies_ns.end() - 2 * kHalf, latencies_ns.end() - kHalf);
    Values late(latencies_ns.end() - kHalf, latencies_ns.end());
    Values others(latencies_ns.end() - 2 * kHalf + 1, latencies_ns.end());
    double low = quantile(others, 0.25), high = quantile(others, 0.75);
    double drift = change(mean(early), mean(late));
    return early.front() <= high + 1.5 * (high - low) && drift >= -0.5 && drift <= 0.1 &&
           std::fabs(change(quantile(early, 0.25), quantile(late, 0.25))) <= 0.05 &&
           std::fabs(change(quantile(early, 0.75), quantile(late, 0.75))) <= 0.05 &&
           std::fabs(change(deviation(early), deviation(late))) <= 0.1;
}

}  // namespace edgepose
