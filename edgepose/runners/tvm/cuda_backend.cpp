#include "cuda_backend.h"

#include <cstring>
#include <utility>

#include "../native/failure.h"
#include "../native/files.h"
#include "../native/timing.h"
#include "cuda_driver.h"

namespace edgepose {

namespace {

using cuda::Address;
using cuda::Dimensions;

constexpr int kSchema = 1;
constexpr const char* kLaunches = "model.launches.json";
constexpr const char* kWeights = "model.weights";
constexpr const char* kKernels = "model.cubin";
constexpr const char* kDriver = "libcuda.so.1";

struct Launch {
    std::string kernel;
    cuda::Function function;
    Dimensions grid;
    Dimensions block;
    unsigned shared_bytes;
    std::vector<Address> arguments;
};

Dimensions dimensions(const Json& json) {
    const std::vector<Json>& sizes = json.array();
    if (sizes.size() != 3) throw Failure(kBadPlan, "a launch plan's sizes are x, y and z");
    const auto size = [&](int axis) { return static_cast<unsigned>(sizes[axis].integer()); };
    return {size(0), size(1), size(2)};
}

size_t bytes_of(const std::vector<int>& shape) {
    size_t bytes = sizeof(float);
    for (int size : shape) bytes *= size;
    return bytes;
}

std::string file_text(const std::string& path) {
    auto text = read_text(path);
    if (!text) throw Failure(kLoadFailed, path + " cannot be read");
    return std::move(*text);
}

std::string driver_of(const Plan& plan) {
    return plan.options.has("driver") ? plan.options.at("driver").string() : kDriver;
}

class CudaBackend : public Backend {
public:
    explicit CudaBackend(const Plan& plan) : outputs_(plan.outputs), gpu_(driver_of(plan)) {
        const Json launches = Json::parse(file_text(artifact_file(plan, kLaunches)));
        if (launches.at("schema_version").integer() != kSchema) {
            throw Failure(kBadPlan, "a launch plan of another schema version");
        }
        const std::string& arch = launches.at("arch").string();
        if (arch != gpu_.arch()) {
            throw Failure(kLoadFailed, "the kernels are for " + arch + ", the GPU " + gpu_.name() +
                                           " is " + gpu_.arch());
        }
        gpu_.load(artifact_file(plan, kKernels));
        arena_ = gpu_.allocate(static_cast<size_t>(launches.at("arena_bytes").number()));
        const std::string weights = file_text(artifact_file(plan, kWeights));
        if (weights.size() != static_cast<size_t>(launches.at("weights_bytes").number())) {
            throw Failure(kLoadFailed, "model.weights is not of the launch plan's size");
        }
        gpu_.send(arena_, weights.data(), weights.size());
        for (const Json& launch : launches.at("launches").array()) add(launch);
        place(inputs_at_, launches.at("inputs"));
        place(outputs_at_, launches.at("outputs"));
    }

    std::map<std::string, std::string> versions() const override {
        const int version = gpu_.driver_version();
        const std::string driver =
            std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
        return {{"cuda driver", driver}, {"gpu", gpu_.name()}, {"gpu arch", gpu_.arch()}};
    }

    // The copies to and from the GPU are here and in `outputs`: no part of an inference.
    void bind(const Tensors& inputs) override {
        for (const auto& [name, tensor] : inputs) {
            const auto at = inputs_at_.find(name);
            if (at == inputs_at_.end()) {
                throw Failure(kBadPlan, "the launch plan has no input '" + name + "'");
            }
            gpu_.send(at->second, tensor.values.data(), bytes_of(tensor.shape));
        }
        gpu_.wait();
    }

    void infer() override {
        for (Launch& each : launches_) start(each);
        gpu_.wait();
    }

    Tensors outputs() const override {
        Tensors tensors;
        for (const TensorSpec& spec : outputs_) {
            const auto at = outputs_at_.find(spec.name);
            if (at == outputs_at_.end()) {
                throw Failure(kBadPlan, "the launch plan has no output '" + spec.name + "'");
            }
            Tensor tensor{spec.shape, std::vector<float>(bytes_of(spec.shape) / sizeof(float))};
            gpu_.fetch(tensor.values.data(), at->second, bytes_of(spec.shape));
            tensors[spec.name] = std::move(tensor);
        }
        return tensors;
    }

    // Waiting after every kernel costs each some microseconds: the sum is more than an inference.
    std::vector<LayerTime> profile() override {
        std::map<std::string, int> calls;
        std::vector<LayerTime> times;
        for (Launch& each : launches_) {
            const int64_t begin = clock_ns(CLOCK_MONOTONIC);
            start(each);
            gpu_.wait();
            const int64_t ns = clock_ns(CLOCK_MONOTONIC) - begin;
            const int call = ++calls[each.kernel];
            const std::string number = call > 1 ? "#" + std::to_string(call) : "";
            times.push_back({each.kernel + number, "kernel", ns});
        }
        return times;
    }

    std::vector<LayerDrift> trace(Backend&, const std::set<std::string>&) override {
        throw Failure(kBadPlan, "the runner of TVM cannot trace: its kernels are fused layers");
    }

private:
    void add(const Json& json) {
        Launch launch{json.at("kernel").string(), nullptr, dimensions(json.at("grid")),
                      dimensions(json.at("block")), 0, {}};
        launch.function = gpu_.function(launch.kernel);
        launch.shared_bytes = static_cast<unsigned>(json.at("shared_bytes").integer());
        for (const Json& offset : json.at("offsets").array()) {
            launch.arguments.push_back(arena_ + static_cast<Address>(offset.number()));
        }
        launches_.push_back(std::move(launch));
    }

    void place(std::map<std::string, Address>& at, const Json& offsets) {
        for (const auto& [name, offset] : offsets.object()) {
            at[name] = arena_ + static_cast<Address>(offset.number());
        }
    }

    void start(Launch& each) {
        gpu_.launch(each.function, each.grid, each.block, each.shared_bytes, each.arguments);
    }

    const std::vector<TensorSpec> outputs_;
    cuda::Gpu gpu_;
    Address arena_ = 0;
    std::vector<Launch> launches_;
    std::map<std::string, Address> inputs_at_;
    std::map<std::string, Address> outputs_at_;
};

}  // namespace

bool is_for_cuda(const Plan& plan) { return plan.artifact.count(kLaunches) > 0; }

std::unique_ptr<Backend> load_cuda(const Plan& plan) {
    return std::make_unique<CudaBackend>(plan);
}

}  // namespace edgepose
