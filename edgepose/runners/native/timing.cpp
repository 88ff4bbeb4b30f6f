#include "timing.h"

namespace edgepose {

int64_t clock_ns(clockid_t clock) {
    timespec now;
    clock_gettime(clock, &now);
    return int64_t(now.tv_sec) * 1000000000 + now.tv_nsec;
}

Latencies infer_timed(Backend& backend, int count) {
    Latencies latencies(count);
    for (int64_t& latency : latencies) {
        const int64_t begin = clock_ns(CLOCK_MONOTONIC);
        backend.infer();
        latency = clock_ns(CLOCK_MONOTONIC) - begin;
    }
    return latencies;
}

}  // namespace edgepose
