#include "ffi.h"

#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <utility>

#include "../native/failure.h"
#include "../native/files.h"
#include "api.h"

namespace edgepose::tvm {

namespace {

TVMFFIAny any_of(TVMFFITypeIndex type) {
    TVMFFIAny any{};
    any.type_index = type;
    return any;
}

Value object_value(TVMFFITypeIndex type, TVMFFIObjectHandle object) {
    TVMFFIAny any = any_of(type);
    any.v_obj = static_cast<TVMFFIObject*>(object);
    return Value(any);
}

TVMFFIByteArray bytes_of(const std::string& text) { return {text.data(), text.size()}; }

std::string string_of(const TVMFFIByteArray& bytes) { return {bytes.data, bytes.size}; }

// The message of the error that the last call left behind.
std::string last_error() {
    TVMFFIObjectHandle object = nullptr;
    api.take_error(&object);
    if (!object) return "no message";
    const Value error = object_value(kTVMFFIError, object);
    const TVMFFIErrorCell& cell = *TVMFFIErrorGetCellPtr(object);
    return string_of(cell.kind) + ": " + string_of(cell.message);
}

void check(int code) {
    if (code) throw Failure(kInferenceFailed, last_error());
}

// The interface of every function of ours: `self` is its Body.
int call_body(void* self, const TVMFFIAny* arguments, int32_t count, TVMFFIAny* result) {
    std::string message;
    try {
        *result = (*static_cast<Body*>(self))(arguments, count).release();
        return 0;
    } catch (const Failure& failure) {
        message = failure.message;
    } catch (const std::exception& error) {
        message = error.what();
    }
    api.set_error("RuntimeError", message.c_str());
    return -1;
}

// A tensor's memory. TVM's kernels may assume that it starts at a multiple of 64.
struct Memory {
    DLManagedTensor managed{};
    std::vector<int64_t> shape;
    std::unique_ptr<void, void (*)(void*)> values{nullptr, free};
};

constexpr size_t kAlignment = 64;

}  // namespace

Value& Value::operator=(Value&& other) noexcept {
    std::swap(any_, other.any_);
    return *this;
}

Value::~Value() {
    if (any_.type_index >= kTVMFFIStaticObjectBegin) api.decrease(any_.v_obj);
}

TVMFFIAny Value::release() { return std::exchange(any_, TVMFFIAny{}); }

TVMFFIAny argument(int number) {
    TVMFFIAny any = any_of(kTVMFFIInt);
    any.v_int64 = number;
    return any;
}

TVMFFIAny argument(bool flag) {
    TVMFFIAny any = any_of(kTVMFFIBool);
    any.v_int64 = flag;
    return any;
}

TVMFFIAny argument(const char* text) {
    TVMFFIAny any = any_of(kTVMFFIRawStr);
    any.v_c_str = text;
    return any;
}

TVMFFIAny argument(const std::string& text) { return argument(text.c_str()); }

TVMFFIAny argument(const Value& value) { return value.any(); }

std::string text_of(const TVMFFIAny& argument) {
    switch (argument.type_index) {
        case kTVMFFIRawStr: return argument.v_c_str;
        case kTVMFFISmallStr: return string_of(TVMFFISmallBytesGetContentByteArray(&argument));
        case kTVMFFIStr: return string_of(*TVMFFIBytesGetByteArrayPtr(argument.v_obj));
        case kTVMFFIByteArrayPtr:
            return string_of(*static_cast<const TVMFFIByteArray*>(argument.v_ptr));
        default: throw Failure(kInferenceFailed, "TVM gave something else than a text");
    }
}

int64_t number_of(const TVMFFIAny& argument) {
    if (argument.type_index == kTVMFFIInt || argument.type_index == kTVMFFIBool) {
        return argument.v_int64;
    }
    throw Failure(kInferenceFailed, "TVM gave something else than a number");
}

Value number_value(int64_t number) {
    TVMFFIAny any = any_of(kTVMFFIInt);
    any.v_int64 = number;
    return Value(any);
}

Value text_value(const std::string& text) {
    const TVMFFIByteArray bytes = bytes_of(text);
    TVMFFIAny made{};
    check(api.make_text(&bytes, &made));
    return Value(made);
}

Value bytes_value(const std::string& bytes) {
    const TVMFFIByteArray array = bytes_of(bytes);
    TVMFFIAny made{};
    check(api.make_bytes(&array, &made));
    return Value(made);
}

Value function_value(Body body) {
    TVMFFIObjectHandle made = nullptr;
    auto self = std::make_unique<Body>(std::move(body));
    check(api.create_function(
        self.get(), call_body, [](void* old) { delete static_cast<Body*>(old); }, &made));
    self.release();  // the function deletes it
    return object_value(kTVMFFIFunction, made);
}

void open_runtime(const std::string& ffi_path, const std::string& runtime_path, int threads) {
    // Read when the pool of threads starts. Which cores they run on is for our own affinity mask.
    setenv("TVM_NUM_THREADS", std::to_string(threads).c_str(), 1);
    setenv("TVM_BIND_THREADS", "0", 1);
    // How often a worker looks for more before it sleeps: longer than any kernel on one thread
    // keeps it waiting (milliseconds), shorter than the pause between two inferences of a user.
    setenv("TVM_THREAD_POOL_SPIN_COUNT", "10000", 0);
    open_api(ffi_path);
    // It needs `libtvm_ffi.so` by that name, which the loader knows the open one by.
    open_library(runtime_path);
    constexpr int kBigCores = 1;  // without a number of threads: as many as the fastest cluster has
    call(global_function("runtime.config_threadpool"), {argument(kBigCores), argument(threads)});
}

Value global_function(const std::string& name) {
    const TVMFFIByteArray bytes = bytes_of(name);
    TVMFFIObjectHandle found = nullptr;
    check(api.get_global(&bytes, &found));
    if (!found) throw Failure(kRuntimeMissing, "TVM's runtime has no function " + name);
    return object_value(kTVMFFIFunction, found);
}

void set_global_function(const std::string& name, const Value& function) {
    const TVMFFIByteArray bytes = bytes_of(name);
    check(api.set_global(&bytes, function.any().v_obj, /*allow_override=*/1));
}

Value call(const Value& function, const Arguments& arguments) {
    TVMFFIAny result{};
    // The interface is of C: arguments like ours are only read.
    TVMFFIAny* const values = const_cast<TVMFFIAny*>(arguments.data());
    check(api.call(function.any().v_obj, values, static_cast<int>(arguments.size()), &result));
    return Value(result);
}

Value load_module(const std::string& path) {
    if (!file_exists(path)) throw Failure(kLoadFailed, path + " does not exist");
    try {
        // Not ffi.ModuleLoadFromFile, which goes by a file's ending: on a device it has none.
        const Value load = global_function("ffi.Module.load_from_file.so");
        return call(load, {argument(path), argument("so")});
    } catch (const Failure& failure) {
        throw Failure(kLoadFailed, "TVM refuses the compiled model: " + failure.message);
    }
}

Value function_of(const Value& module, const std::string& name) {
    const Value get = global_function("ffi.ModuleGetFunction");
    Value found = call(get, {argument(module), argument(name), argument(true)});
    if (found.is(kTVMFFIFunction)) return found;
    throw Failure(kLoadFailed, "TVM refuses the compiled model: it has no function " + name);
}

Value tensor_value(const std::vector<int>& shape, const std::vector<float>& values) {
    auto memory = std::make_unique<Memory>();
    memory->shape.assign(shape.begin(), shape.end());
    const size_t size = values.size() * sizeof(float);
    void* block = nullptr;
    if (posix_memalign(&block, kAlignment, size ? size : kAlignment)) throw std::bad_alloc();
    memory->values.reset(block);
    memcpy(block, values.data(), size);
    DLTensor& tensor = memory->managed.dl_tensor;
    tensor.data = block;
    tensor.device = {kDLCPU, 0};
    tensor.ndim = static_cast<int>(shape.size());
    tensor.dtype = {kDLFloat, 32, 1};
    tensor.shape = memory->shape.data();
    memory->managed.manager_ctx = memory.get();
    memory->managed.deleter = [](DLManagedTensor* old) {
        delete static_cast<Memory*>(old->manager_ctx);
    };
    TVMFFIObjectHandle made = nullptr;
    check(api.make_tensor(&memory->managed, kAlignment, /*require_contiguous=*/1, &made));
    memory.release();  // the tensor deletes it
    return object_value(kTVMFFITensor, made);
}

const DLTensor& tensor_of(const Value& value) {
    if (value.is(kTVMFFITensor)) return *TVMFFITensorGetDLTensorPtr(value.any().v_obj);
    throw Failure(kInferenceFailed, "TVM gave something else than a tensor");
}

}  // namespace edgepose::tvm
