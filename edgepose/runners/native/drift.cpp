#include "drift.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstdio>

#include "failure.h"

namespace edgepose {

Drift tensor_drift(const Tensor& reference, const Tensor& output) {
    const std::vector<float>& expected = reference.values;
    const std::vector<float>& actual = output.values;
    if (expected.size() != actual.size()) {
        throw Failure(kInferenceFailed, std::to_string(actual.size()) + " values where " +
                                            std::to_string(expected.size()) + " were expected");
    }
    double largest = 0, largest_error = 0, sum = 0, sum_error = 0;
    double product = 0, expected_square = 0, actual_square = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
        double r = expected[i], y = actual[i];
        if (!std::isfinite(y)) return {false, NAN, NAN, NAN};
        largest = std::max(largest, std::fabs(r));
        largest_error = std::max(largest_error, std::fabs(y - r));
        sum += std::fabs(r);
        sum_error += std::fabs(y - r);
        product += y * r;
        expected_square += r * r;
        actual_square += y * y;
    }
    bool both_zero = expected_square == 0 && actual_square == 0;
    double norms = std::sqrt(expected_square) * std::sqrt(actual_square);
    const double count = static_cast<double>(std::max<size_t>(expected.size(), 1));
    return {true, largest_error / std::max(largest, DBL_MIN),
            sum_error / count / std::max(sum / count, DBL_MIN),
            both_zero ? 1.0 : product / std::max(norms, DBL_MIN)};
}

std::vector<std::string> drift_failures(
    const std::string& name, const Drift& drift, const Json& gate) {
    if (!drift.finite) return {"output '" + name + "' holds NaN or Inf"};
    std::vector<std::string> found;
    auto say = [&](const char* format, double value, double limit) {
        char text[160];
        snprintf(text, sizeof text, format, value, limit);
        found.push_back("output '" + name + "': " + text);
    };
    double largest = gate.at("max_relative_error").number();
    double mean = gate.at("mean_relative_error").number();
    double cosine = gate.at("min_cosine").number();
    if (!(drift.max_relative_error <= largest)) {
        say("max relative error %.3g exceeds %.3g", drift.max_relative_error, largest);
    }
    if (!(drift.mean_relative_error <= mean)) {
        say("mean relative error %.3g exceeds %.3g", drift.mean_relative_error, mean);
    }
    if (!(drift.cosine >= cosine)) say("cosine %.6f is below %.6f", drift.cosine, cosine);
    return found;
}

}  // namespace edgepose
