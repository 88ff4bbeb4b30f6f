#include "backend.h"

#include <algorithm>
#include <map>
#include <utility>

#include "../native/failure.h"
#include "../native/timing.h"
#include "ffi.h"

namespace edgepose {

namespace {

using namespace tvm;

constexpr const char* kMain = "main";
constexpr const char* kFfi = "libtvm_ffi.so";
constexpr const char* kRuntime = "libtvm_runtime.so";
constexpr int kPooled = 2;  // TVM's allocator that keeps memory for the next inference

// As TVM names kernels: `fused_conv2d3_add7_relu` is of the type `fused_conv2d_add_relu`.
std::string type_of(const std::string& kernel) {
    std::string type, word;
    for (const char letter : kernel + "_") {
        if (letter != '_') {
            word += letter;
            continue;
        }
        word.resize(word.find_last_not_of("0123456789") + 1);
        if (!word.empty()) type += (type.empty() ? "" : "_") + word;
        word.clear();
    }
    return type;
}

std::string shape_text(const DLTensor& tensor) {
    std::string text;
    for (int i = 0; i < tensor.ndim; ++i) {
        text += (i ? ", " : "") + std::to_string(tensor.shape[i]);
    }
    return "[" + text + "]";
}

Tensor to_tensor(const DLTensor& tensor, const TensorSpec& spec) {
    const bool floats = tensor.dtype.code == kDLFloat && tensor.dtype.bits == 32;
    const bool fits = std::equal(
        spec.shape.begin(), spec.shape.end(), tensor.shape, tensor.shape + tensor.ndim);
    if (!floats || !fits || tensor.device.device_type != kDLCPU) {
        throw Failure(kInferenceFailed, "TVM gives output '" + spec.name + "' the shape " +
                                            shape_text(tensor) + " or another type than float32: " +
                                            "the model was converted wrongly");
    }
    size_t count = 1;
    for (int size : spec.shape) count *= size;
    const char* const bytes = static_cast<const char*>(tensor.data) + tensor.byte_offset;
    const float* const values = reinterpret_cast<const float*>(bytes);
    return {spec.shape, {values, values + count}};
}

class TvmBackend : public Backend {
public:
    explicit TvmBackend(const Plan& plan) : inputs_(plan.inputs), outputs_(plan.outputs) {
        for (const char* name : {kFfi, kRuntime}) {
            const std::string& path = artifact_file(plan, name);
            const auto known = plan.sha256.find(path);
            if (known != plan.sha256.end()) versions_[name] = known->second.substr(0, 16);
        }
        const std::string& model = artifact_file(plan, "model.so");
        open_runtime(artifact_file(plan, kFfi), artifact_file(plan, kRuntime), plan.threads);
        machine_ = call(function_of(load_module(model), "vm_load_executable"), {});
        call(function_of(machine_, "vm_initialization"),
             {argument(int{kDLCPU}), argument(0), argument(kPooled)});
        main_ = function_of(machine_, kMain);
        check_arity();
    }

    std::map<std::string, std::string> versions() const override { return versions_; }

    void bind(const Tensors& inputs) override {
        bound_.clear();
        arguments_.clear();
        for (const TensorSpec& spec : inputs_) {
            const Tensor& tensor = inputs.at(spec.name);
            bound_.push_back(tensor_value(tensor.shape, tensor.values));
        }
        for (const Value& value : bound_) arguments_.push_back(argument(value));
    }

    void infer() override {
        result_ = Value();  // its memory goes back to the pool before more is asked for
        result_ = call(main_, arguments_);
    }

    // The result is a tensor, or an array of as many as the model has outputs.
    Tensors outputs() const override {
        if (!result_.is(kTVMFFIArray)) {
            check_outputs(1);
            return {{outputs_[0].name, to_tensor(tensor_of(result_), outputs_[0])}};
        }
        const Value size = call(global_function("ffi.ArraySize"), {argument(result_)});
        check_outputs(number_of(size.any()));
        const Value item_of = global_function("ffi.ArrayGetItem");
        Tensors tensors;
        for (size_t i = 0; i < outputs_.size(); ++i) {
            const Value item = call(item_of, {argument(result_), argument(static_cast<int>(i))});
            tensors[outputs_[i].name] = to_tensor(tensor_of(item), outputs_[i]);
        }
        return tensors;
    }

    // The machine tells before and after each kernel.
    std::vector<LayerTime> profile() override {
        if (!told_) instrument();
        kernels_.clear();
        infer();
        std::map<std::string, int> calls;
        std::vector<LayerTime> times;
        for (const auto& [kernel, ns] : kernels_) {
            // The second call of a kernel is another layer.
            const int number = ++calls[kernel];
            const std::string name = number > 1 ? kernel + "#" + std::to_string(number) : kernel;
            times.push_back({name, type_of(kernel), ns});
        }
        return times;
    }

    std::vector<LayerDrift> trace(Backend&, const std::set<std::string>&) override {
        throw Failure(kBadPlan, "the runner of TVM cannot trace: its kernels are fused layers");
    }

private:
    void check_arity() const {
        const Value arity = call(function_of(machine_, "get_function_arity"), {argument(kMain)});
        const int64_t wanted = number_of(arity.any());
        if (wanted == static_cast<int64_t>(inputs_.size())) return;
        throw Failure(kLoadFailed, "TVM refuses the inputs: model.so has " +
                                       std::to_string(wanted) + ", the plan " +
                                       std::to_string(inputs_.size()));
    }

    void check_outputs(int64_t found) const {
        if (found == static_cast<int64_t>(outputs_.size())) return;
        throw Failure(kInferenceFailed, "TVM gives " + std::to_string(found) + " outputs, not " +
                                            std::to_string(outputs_.size()));
    }

    void instrument() {
        const Value tell = function_value([this](const TVMFFIAny* arguments, int count) {
            if (count >= 3) note(text_of(arguments[1]), number_of(arguments[2]));
            return Value();
        });
        call(function_of(machine_, "set_instrument"), {argument(tell)});
        told_ = true;
    }

    void note(const std::string& kernel, bool before) {
        const std::string builtin = "vm.builtin.";  // memory and shapes: no kernels
        if (kernel.compare(0, builtin.size(), builtin) == 0) return;
        if (before) {
            begin_ns_ = clock_ns(CLOCK_MONOTONIC);
        } else {
            kernels_.emplace_back(kernel, clock_ns(CLOCK_MONOTONIC) - begin_ns_);
        }
    }

    const std::vector<TensorSpec> inputs_;
    const std::vector<TensorSpec> outputs_;
    std::map<std::string, std::string> versions_ = {{"tvm", EDGEPOSE_TVM_VERSION}};
    Value machine_;
    Value main_;
    std::vector<Value> bound_;
    Arguments arguments_;
    Value result_;
    bool told_ = false;
    int64_t begin_ns_ = 0;
    std::vector<std::pair<std::string, int64_t>> kernels_;  // of the last inference, with its ns
};

}  // namespace

std::unique_ptr<Backend> load_tvm(const Plan& plan) { return std::make_unique<TvmBackend>(plan); }

}  // namespace edgepose
