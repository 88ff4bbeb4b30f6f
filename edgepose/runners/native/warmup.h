// Has the warm-up reached its steady state? The rule of the Python runner's warmup.py.
#pragma once

#include <cstdint>
#include <vector>

namespace edgepose {

// Compares the last 20 latencies with the 20 before them; false while fewer than 40 are known.
bool has_converged(const std::vector<int64_t>& latencies_ns);

}  // namespace edgepose
