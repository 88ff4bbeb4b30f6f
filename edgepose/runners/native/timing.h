// Inferences on a clock: two clock reads around each and nothing else.
#pragma once

#include <time.h>

#include <cstdint>
#include <vector>

#include "backend.h"

namespace edgepose {

using Latencies = std::vector<int64_t>;  // in ns

int64_t clock_ns(clockid_t clock);

// Latencies of `count` inferences.
Latencies infer_timed(Backend& backend, int count);

}  // namespace edgepose
