#include "backend.h"

#include <time.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include <ncnn/allocator.h>
#include <ncnn/layer.h>
#include <ncnn/net.h>

#include "../native/failure.h"

namespace edgepose {

namespace {

// Storing outputs as halves costs a layer this much of their largest, whatever else it does.
constexpr double kRounding = 1e-3;

struct Switch {
    const char* name;
    bool ncnn::Option::*field;
};

constexpr Switch kSwitches[] = {
    {"packing_layout", &ncnn::Option::use_packing_layout},
    {"fp16_packed", &ncnn::Option::use_fp16_packed},
    {"fp16_storage", &ncnn::Option::use_fp16_storage},
    {"fp16_arithmetic", &ncnn::Option::use_fp16_arithmetic},
    {"bf16_storage", &ncnn::Option::use_bf16_storage},
    {"winograd_convolution", &ncnn::Option::use_winograd_convolution},
    {"sgemm_convolution", &ncnn::Option::use_sgemm_convolution},
};

int64_t now_ns() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return int64_t(now.tv_sec) * 1000000000 + now.tv_nsec;
}

// ncnn has no batch axis: [1, C, H, W] becomes a Mat of C x H x W, whose channels are padded.
ncnn::Mat to_mat(const Tensor& tensor) {
    std::vector<int> sizes(tensor.shape.begin() + 1, tensor.shape.end());
    ncnn::Mat mat;
    switch (sizes.size()) {
        case 1: mat.create(sizes[0]); break;
        case 2: mat.create(sizes[1], sizes[0]); break;
        case 3: mat.create(sizes[2], sizes[1], sizes[0]); break;
        default: throw Failure(kBadPlan, "ncnn takes inputs of two to four dimensions");
    }
    const size_t plane = static_cast<size_t>(mat.w) * mat.h;
    if (tensor.values.size() != plane * mat.c) {
        throw Failure(kBadPlan, "the batch of an input is not 1");
    }
    for (int c = 0; c < mat.c; ++c) {
        memcpy(mat.channel(c), tensor.values.data() + c * plane, plane * sizeof(float));
    }
    return mat;
}

void append(Tensor& tensor, const ncnn::Mat& mat) {
    const size_t plane = static_cast<size_t>(mat.w) * mat.h * mat.d;
    for (int c = 0; c < mat.c; ++c) {
        const float* values = mat.channel(c);
        tensor.values.insert(tensor.values.end(), values, values + plane);
    }
}

Tensor to_tensor(const ncnn::Mat& mat, const TensorSpec& spec) {
    Tensor tensor{spec.shape, {}};
    append(tensor, mat);
    size_t wanted = 1;
    for (int size : spec.shape) wanted *= size;
    if (tensor.values.size() != wanted) {
        throw Failure(kInferenceFailed, "ncnn gives output '" + spec.name + "' " +
                                            std::to_string(tensor.values.size()) +
                                            " values instead of " + std::to_string(wanted) +
                                            ": the model was converted wrongly");
    }
    return tensor;
}

class NcnnBackend : public Backend {
public:
    explicit NcnnBackend(const Plan& plan) : outputs_(plan.outputs) {
        net_.opt.use_vulkan_compute = false;
        net_.opt.num_threads = plan.threads;
        for (const Switch& option : kSwitches) {
            if (plan.options.has(option.name)) {
                net_.opt.*option.field = plan.options.at(option.name).boolean();
            }
        }
        // Pools, as ncnn's own benchmark has them: memory is taken once, not at every layer.
        net_.opt.blob_allocator = &blobs_;
        net_.opt.workspace_allocator = &workspace_;
        for (const auto& [tensor, blob] : plan.options.at("blobs").object()) {
            blob_of_[tensor] = blob.string();
        }
        if (net_.load_param(artifact_file(plan, "model.ncnn.param").c_str())) {
            throw Failure(kLoadFailed, "ncnn refuses model.ncnn.param");
        }
        if (net_.load_model(artifact_file(plan, "model.ncnn.bin").c_str())) {
            throw Failure(kLoadFailed, "ncnn refuses model.ncnn.bin");
        }
    }

    std::map<std::string, std::string> versions() const override {
        return {{"ncnn", NCNN_VERSION_STRING}};
    }

    void bind(const Tensors& inputs) override {
        inputs_.clear();
        for (const auto& [name, tensor] : inputs) inputs_[blob_named(name)] = to_mat(tensor);
    }

    void infer() override {
        ncnn::Extractor extractor = net_.create_extractor();
        feed(extractor);
        results_.resize(outputs_.size());
        for (size_t i = 0; i < outputs_.size(); ++i) {
            extract(extractor, blob_named(outputs_[i].name), results_[i]);
        }
    }

    Tensors outputs() const override {
        Tensors tensors;
        for (size_t i = 0; i < outputs_.size(); ++i) {
            tensors[outputs_[i].name] = to_tensor(results_[i], outputs_[i]);
        }
        return tensors;
    }

    // Every layer's last blob is asked for in turn: what is new then is that layer's work.
    std::vector<LayerTime> profile() override {
        ncnn::Extractor extractor = net_.create_extractor();
        extractor.set_light_mode(false);
        feed(extractor);
        std::vector<LayerTime> times;
        for (const ncnn::Layer* layer : net_.layers()) {
            if (layer->tops.empty() || layer->type == "Input") continue;
            ncnn::Mat ignored;
            const int64_t begin = now_ns();
            // Type 1 keeps precision and packing as the next layer wants them.
            if (extractor.extract(layer->tops.back(), ignored, 1)) {
                throw Failure(kInferenceFailed, "ncnn failed in layer " + layer->name);
            }
            times.push_back({layer->name, layer->type, now_ns() - begin});
        }
        return times;
    }

    std::vector<LayerDrift> trace(
        Backend& reference, const std::set<std::string>& followed) override {
        NcnnBackend& exact = static_cast<NcnnBackend&>(reference);  // of the same loader
        exact.infer();
        const Tensors wanted_outputs = exact.outputs();
        ncnn::Extractor ours = whole(*this), theirs = whole(exact);
        Blobs before;  // of the reference, as its layers hand them on
        std::vector<LayerDrift> drifts;
        for (const ncnn::Layer* layer : net_.layers()) {
            if (layer->type == "Input") continue;
            Blobs own;
            if (layer->type != "Split") {
                drifts.push_back(compare(*layer, ours, theirs, own));
                LayerDrift& last = drifts.back();
                const bool beyond_rounding = last.alone.max_relative_error > kRounding;
                if (followed.count(layer->name) && beyond_rounding) {
                    last.outputs = exact.follow(before, own, wanted_outputs);
                }
            }
            for (int blob : layer->tops) before[blob] = blob_of(theirs, blob, *layer, 1);
        }
        return drifts;
    }

private:
    using Blobs = std::map<int, ncnn::Mat>;  // by ncnn's index

    // An extractor with the inputs that keeps every blob.
    static ncnn::Extractor whole(const NcnnBackend& backend) {
        ncnn::Extractor extractor = backend.net_.create_extractor();
        extractor.set_light_mode(false);
        backend.feed(extractor);
        return extractor;
    }

    // This layer in three nets: ours, theirs, and ours on their blobs, which `own` keeps.
    LayerDrift compare(
        const ncnn::Layer& layer, ncnn::Extractor& ours, ncnn::Extractor& theirs,
        Blobs& own) const {
        ncnn::Extractor alone = net_.create_extractor();
        for (int blob : layer.bottoms) alone.input(blob, blob_of(theirs, blob, layer));
        Tensor wanted, found, its_own;
        for (int blob : layer.tops) {
            own[blob] = blob_of(alone, blob, layer);
            append(wanted, blob_of(theirs, blob, layer));
            append(found, blob_of(ours, blob, layer));
            append(its_own, own[blob]);
        }
        float largest = 0;
        for (float value : wanted.values) largest = std::max(largest, std::fabs(value));
        return {layer.name, layer.type, tensor_drift(wanted, found), tensor_drift(wanted, its_own),
                largest, {}};
    }

    // This net from a layer on whose blobs are `own`, after those of all layers `before` it.
    std::map<std::string, Drift> follow(
        const Blobs& before, const Blobs& own, const Tensors& wanted) {
        ncnn::Extractor extractor = net_.create_extractor();
        feed(extractor);
        for (const auto& [blob, mat] : before) extractor.input(blob, mat);
        for (const auto& [blob, mat] : own) extractor.input(blob, mat);
        std::map<std::string, Drift> drifts;
        for (const TensorSpec& output : outputs_) {
            ncnn::Mat mat;
            extract(extractor, blob_named(output.name), mat);
            drifts[output.name] = tensor_drift(wanted.at(output.name), to_tensor(mat, output));
        }
        return drifts;
    }

    // Type 0 gives floats without packing, type 1 the blob as the next layer gets it.
    static ncnn::Mat blob_of(
        ncnn::Extractor& extractor, int blob, const ncnn::Layer& layer, int type = 0) {
        ncnn::Mat mat;
        if (extractor.extract(blob, mat, type)) {
            throw Failure(kInferenceFailed, "ncnn failed in layer " + layer.name);
        }
        return mat;
    }

    const std::string& blob_named(const std::string& tensor) const {
        const auto found = blob_of_.find(tensor);
        if (found != blob_of_.end()) return found->second;
        throw Failure(kBadPlan, "the options name no blob for the tensor '" + tensor + "'");
    }

    void feed(ncnn::Extractor& extractor) const {
        for (const auto& [blob, mat] : inputs_) {
            if (extractor.input(blob.c_str(), mat)) {
                throw Failure(kBadPlan, "the net has no input blob '" + blob + "'");
            }
        }
    }

    static void extract(ncnn::Extractor& extractor, const std::string& blob, ncnn::Mat& into) {
        const int code = extractor.extract(blob.c_str(), into);
        if (code) {
            throw Failure(kInferenceFailed, "ncnn failed with code " + std::to_string(code) +
                                                " at blob '" + blob + "'");
        }
    }

    // First, so that they are destroyed last: net, inputs and results have memory of theirs.
    ncnn::UnlockedPoolAllocator blobs_;
    ncnn::PoolAllocator workspace_;
    ncnn::Net net_;
    const std::vector<TensorSpec> outputs_;
    std::map<std::string, std::string> blob_of_;
    std::map<std::string, ncnn::Mat> inputs_;
    std::vector<ncnn::Mat> results_;
};

}  // namespace

std::unique_ptr<Backend> load_ncnn(const Plan& plan) {
    return std::make_unique<NcnnBackend>(plan);
}

}  // namespace edgepose
