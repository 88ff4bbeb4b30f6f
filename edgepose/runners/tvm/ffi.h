// What we need of TVM's runtime, through the C interface of its two shared libraries. They are
// opened by path and nothing of TVM is linked in: the executable starts on every board, and says
// itself what is missing.
#pragma once

#include <tvm/ffi/c_api.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace edgepose::tvm {

// A value of the runtime that we own: nothing, a number, a text, a tensor, a function, a module.
class Value {
public:
    Value() = default;
    explicit Value(const TVMFFIAny& owned) : any_(owned) {}
    Value(Value&& other) noexcept : any_(other.release()) {}
    Value& operator=(Value&& other) noexcept;
    ~Value();

    const TVMFFIAny& any() const { return any_; }
    bool is(TVMFFITypeIndex type) const { return any_.type_index == type; }

    // Hands the value over: whoever takes it must release it.
    TVMFFIAny release();

private:
    TVMFFIAny any_{};  // nothing
};

// What a call takes; a text, value or function must outlive it.
using Arguments = std::vector<TVMFFIAny>;

TVMFFIAny argument(int number);
TVMFFIAny argument(bool flag);
TVMFFIAny argument(const char* text);
TVMFFIAny argument(const std::string& text);
TVMFFIAny argument(const Value& value);

// What a function that was given texts or numbers reads them with; throws Failure.
std::string text_of(const TVMFFIAny& argument);
int64_t number_of(const TVMFFIAny& argument);

Value number_value(int64_t number);
Value text_value(const std::string& text);
Value bytes_value(const std::string& bytes);

// A function of ours for the runtime to call; what it throws becomes the runtime's error.
using Body = std::function<Value(const TVMFFIAny* arguments, int count)>;
Value function_value(Body body);

// Opens both libraries, for the rest of the process, with `threads` threads for every kernel.
// Throws Failure(kRuntimeMissing).
void open_runtime(const std::string& ffi_path, const std::string& runtime_path, int threads);

// The runtime's function `name`; throws Failure(kRuntimeMissing) where it has none.
Value global_function(const std::string& name);

// Makes `function` such a one.
void set_global_function(const std::string& name, const Value& function);

// Throws Failure(kInferenceFailed) with the runtime's own message.
Value call(const Value& function, const Arguments& arguments);

// The shared library at `path`, whatever its name; throws Failure(kLoadFailed).
Value load_module(const std::string& path);

// A module's function `name`; throws Failure(kLoadFailed) where it has none.
Value function_of(const Value& module, const std::string& name);

// A tensor of float32 with memory of its own.
Value tensor_value(const std::vector<int>& shape, const std::vector<float>& values);

// The tensor in a value; throws Failure(kInferenceFailed) where it holds none.
const DLTensor& tensor_of(const Value& value);

}  // namespace edgepose::tvm
