#include "api.h"

#include <dlfcn.h>

#include "../native/failure.h"

namespace edgepose::tvm {

namespace {

template <typename Function>
void find(void* library, const char* name, Function& function) {
    function = reinterpret_cast<Function>(dlsym(library, name));
    if (!function) {
        throw Failure(kRuntimeMissing,
                      std::string("libtvm_ffi.so has no ") + name + ": it is of another version");
    }
}

void find_all(void* library) {
    find(library, "TVMFFIGetVersion", api.get_version);
    find(library, "TVMFFIObjectDecRef", api.decrease);
    find(library, "TVMFFIFunctionGetGlobal", api.get_global);
    find(library, "TVMFFIFunctionSetGlobal", api.set_global);
    find(library, "TVMFFIFunctionCreate", api.create_function);
    find(library, "TVMFFIFunctionCall", api.call);
    find(library, "TVMFFIErrorMoveFromRaised", api.take_error);
    find(library, "TVMFFIErrorSetRaisedFromCStr", api.set_error);
    find(library, "TVMFFIStringFromByteArray", api.make_text);
    find(library, "TVMFFIBytesFromByteArray", api.make_bytes);
    find(library, "TVMFFITensorFromDLPack", api.make_tensor);
}

std::string version_text(const TVMFFIVersion& version) {
    return std::to_string(version.major) + "." + std::to_string(version.minor) + "." +
           std::to_string(version.patch);
}

// Its data structures are read without asking: they must be those of the headers.
void check_version() {
    const TVMFFIVersion wanted = {
        TVM_FFI_VERSION_MAJOR, TVM_FFI_VERSION_MINOR, TVM_FFI_VERSION_PATCH};
    TVMFFIVersion found{};
    api.get_version(&found);
    if (version_text(found) != version_text(wanted)) {
        throw Failure(kRuntimeMissing, "libtvm_ffi.so has interface " + version_text(found) +
                                           ", this program needs " + version_text(wanted));
    }
}

}  // namespace

Api api;

void* open_library(const std::string& path) {
    // RTLD_GLOBAL: the second library, and every compiled model, finds the first one's functions.
    void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
    if (!library) {
        throw Failure(kRuntimeMissing, std::string("TVM's runtime cannot be loaded: ") + dlerror());
    }
    return library;
}

void open_api(const std::string& path) {
    void* const library = open_library(path);
    find_all(library);
    check_version();
}

}  // namespace edgepose::tvm
