#include "by_hand.h"

#include <algorithm>
#include <cstdio>

#include "cpu.h"
#include "drift.h"
#include "failure.h"
#include "golden.h"
#include "timing.h"

namespace edgepose {

int run_by_hand(const std::string& bundle, const char* engine, LoadBackend load) {
    const Plan prove = plan_from_bundle(bundle, "prove");
    check_engine(prove, engine);
    check_files(prove);
    const std::vector<int> cores = pin_to(big_cores());
    std::unique_ptr<Backend> backend = load(prove);
    std::vector<std::string> problems;
    size_t proven = 0;
    for (const GoldenCase& golden : prove.golden) {
        backend->bind(load_inputs(prove, golden));
        backend->infer();
        const Tensors outputs = backend->outputs();
        for (const auto& [name, path] : golden.outputs) {
            const Drift drift = tensor_drift(read_npy(path), output_of(outputs, name));
            for (const std::string& problem :
                 drift_failures(golden.name + "/" + name, drift, prove.gate)) {
                problems.push_back(problem);
            }
            ++proven;
        }
    }
    for (const std::string& problem : problems) printf("proof FAILED: %s\n", problem.c_str());
    if (!problems.empty()) return kProofFailed;
    printf("proof passed in tensor space on %zu outputs\n", proven);

    const Plan timing = plan_from_bundle(bundle, "time");
    backend->bind(load_inputs(timing, first_case(timing)));
    infer_timed(*backend, timing.warmup_min);
    Latencies samples = infer_timed(*backend, timing.runs);
    std::sort(samples.begin(), samples.end());
    const size_t count = samples.size();
    const double middle = double(samples[(count - 1) / 2] + samples[count / 2]) / 2e6;
    printf("median %.3f ms, min %.3f ms, n %zu, 1 process, 1 thread on %s cores\n", middle,
           double(samples.front()) / 1e6, count, cores.empty() ? "any" : "the fast");
    return 0;
}

}  // namespace edgepose
