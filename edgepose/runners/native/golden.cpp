#include "golden.h"

#include "failure.h"

namespace edgepose {

const GoldenCase& first_case(const Plan& plan) {
    if (plan.golden.empty()) throw Failure(kBadPlan, "the plan has no golden case");
    return plan.golden.front();
}

Tensors load_inputs(const Plan& plan, const GoldenCase& golden) {
    Tensors inputs;
    for (const TensorSpec& spec : plan.inputs) {
        const auto found = golden.inputs.find(spec.name);
        if (found == golden.inputs.end()) {
            throw Failure(kBadPlan,
                          "golden case '" + golden.name + "' has no input '" + spec.name + "'");
        }
        inputs[spec.name] = read_npy(found->second);
    }
    for (const auto& named : golden.inputs) {
        if (!inputs.count(named.first)) {
            throw Failure(kBadPlan, "the model has no input '" + named.first + "'");
        }
    }
    return inputs;
}

const Tensor& output_of(const Tensors& outputs, const std::string& name) {
    const auto found = outputs.find(name);
    if (found == outputs.end()) throw Failure(kBadPlan, "the model has no output '" + name + "'");
    return found->second;
}

}  // namespace edgepose
