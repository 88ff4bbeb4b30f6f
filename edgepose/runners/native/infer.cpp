#include "infer.h"

#include <algorithm>

#include "failure.h"
#include "golden.h"
#include "outputs.h"
#include "stages.h"
#include "timing.h"

namespace edgepose {

namespace {

// N inputs, or outputs, along a first axis of their own; by the names of the model's tensors.
Tensors load_batch(const Plan& plan) {
    Tensors batch;
    for (const TensorSpec& spec : plan.inputs) {
        const auto found = plan.batch.find(spec.name);
        if (found == plan.batch.end()) {
            throw Failure(kBadPlan, "the batch has no input '" + spec.name + "'");
        }
        Tensor tensor = read_npy(found->second);
        const std::vector<int> each(tensor.shape.begin() + 1, tensor.shape.end());
        if (each != spec.shape || tensor.shape[0] == 0) {
            throw Failure(kBadPlan, "the batch of '" + spec.name +
                                        "' has the shape of no inputs, or of other ones");
        }
        batch[spec.name] = std::move(tensor);
    }
    for (const auto& named : plan.batch) {
        if (!batch.count(named.first)) {
            throw Failure(kBadPlan, "the model has no input '" + named.first + "'");
        }
    }
    return batch;
}

int count_of(const Tensors& batch) {
    if (batch.empty()) throw Failure(kBadPlan, "the model has no input");
    const int count = batch.begin()->second.shape[0];
    for (const auto& named : batch) {
        if (named.second.shape[0] != count) {
            throw Failure(kBadPlan, "the files of the batch hold different numbers of inputs");
        }
    }
    return count;
}

Tensors input_at(const Tensors& batch, int index) {
    Tensors inputs;
    for (const auto& [name, all] : batch) {
        const size_t size = all.values.size() / all.shape[0];
        const auto begin = all.values.begin() + index * size;
        inputs[name] = {{all.shape.begin() + 1, all.shape.end()}, {begin, begin + size}};
    }
    return inputs;
}

// Adds one output to those of `count` inputs.
void append(Tensor& all, const Tensor& output, int count) {
    if (all.values.empty()) {
        all.shape = output.shape;
        all.shape.insert(all.shape.begin(), count);
        all.values.reserve(output.values.size() * count);
    }
    all.values.insert(all.values.end(), output.values.begin(), output.values.end());
}

}  // namespace

void infer_batch(
    const Plan& plan, const std::string& folder, Backend& backend, ResultFile& result) {
    const Tensors batch = load_batch(plan);
    const int count = count_of(batch);
    Tensors found;
    Latencies latencies;
    for (int index = 0; index < count; ++index) {
        backend.bind(input_at(batch, index));
        latencies.push_back(infer_timed(backend, 1).front());
        const Tensors outputs = backend.outputs();
        write_decoded(plan, std::to_string(index), outputs, result);
        for (const auto& [name, output] : outputs) append(found[name], output, count);
    }
    for (const TensorSpec& spec : plan.outputs) {
        JsonObject line;
        save_output(line, folder, "batch", spec.name, output_of(found, spec.name));
        result.write("inferred", line);
    }
    result.write("inferences", JsonObject().add("ns", latencies));
}

}  // namespace edgepose
