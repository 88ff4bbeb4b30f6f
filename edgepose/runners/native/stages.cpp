#include "stages.h"

#include "decode/decoder.h"
#include "failure.h"
#include "golden.h"
#include "timing.h"

namespace edgepose {

namespace {

struct Times {
    Latencies network;  // reading the outputs included: decoders want plain tensors
    Latencies decode;
    std::vector<int> found;  // people, or boxes
};

Times run_passes(const Plan& plan, Backend& backend, const Decode& decode, int count) {
    Times times;
    for (int pass = 0; pass < count; ++pass) {
        const int64_t begin = clock_ns(CLOCK_MONOTONIC);
        backend.infer();
        const Tensors outputs = backend.outputs();
        const int64_t between = clock_ns(CLOCK_MONOTONIC);
        const Decoded decoded = decode(ordered_outputs(outputs, plan.outputs));
        const int64_t end = clock_ns(CLOCK_MONOTONIC);
        times.network.push_back(between - begin);
        times.decode.push_back(end - between);
        const size_t found = decoded.is_detection ? decoded.boxes.size() : decoded.people.size();
        times.found.push_back(static_cast<int>(found));
    }
    return times;
}

}  // namespace

void write_decoded(
    const Plan& plan, const std::string& name, const Tensors& outputs, ResultFile& result) {
    if (plan.decoder.is_null()) return;
    JsonObject line;
    line.add("case", name);
    const Decode decode(plan.decoder);
    result.write("decoded", add_decoded(line, decode(ordered_outputs(outputs, plan.outputs))));
}

void time_stages(const Plan& plan, Backend& backend, ResultFile& result) {
    if (plan.decoder.is_null()) throw Failure(kBadPlan, "the plan lacks decoder");
    const Decode decode(plan.decoder);
    backend.bind(load_inputs(plan, first_case(plan)));
    run_passes(plan, backend, decode, plan.warmup_min);
    const int64_t cpu_begin = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    const int64_t begin = clock_ns(CLOCK_MONOTONIC);
    const Times times = run_passes(plan, backend, decode, plan.runs);
    const int64_t wall_ns = clock_ns(CLOCK_MONOTONIC) - begin;
    const int64_t cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_begin;
    JsonObject line;
    line.add("network", times.network).add("decode", times.decode).add("found", times.found);
    result.write("stages", line.add("wall_ns", wall_ns).add("cpu_ns", cpu_ns));
}

}  // namespace edgepose
