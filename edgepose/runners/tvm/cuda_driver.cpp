#include "cuda_driver.h"

#include <dlfcn.h>

#include "../native/failure.h"
#include "../native/files.h"

namespace edgepose::cuda {

namespace {

// Names and types are those of the driver's stable C interface, as CUDA 10.2 and later have it.
struct Driver {
    int (*init)(unsigned flags);
    int (*version)(int* version);
    int (*device)(int* device, int ordinal);
    int (*device_name)(char* name, int length, int device);
    int (*device_attribute)(int* value, int attribute, int device);
    int (*set_flags)(int device, unsigned flags);
    int (*retain)(void** context, int device);
    int (*release)(int device);
    int (*use)(void* context);
    int (*load)(void** module, const void* image);
    int (*unload)(void* module);
    int (*function)(void** function, void* module, const char* name);
    int (*allocate)(Address* address, size_t bytes);
    int (*free)(Address address);
    int (*send)(Address to, const void* from, size_t bytes);
    int (*fetch)(void* to, Address from, size_t bytes);
    int (*launch)(
        void* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
        unsigned bz, unsigned shared, void* stream, void** arguments, void** extra);
    int (*wait)();
    int (*error_string)(int error, const char** text);
};

constexpr int kCapabilityMajor = 75;  // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
constexpr int kCapabilityMinor = 76;
constexpr unsigned kSpinWhileWaiting = 1;  // CU_CTX_SCHED_SPIN

Driver driver{};

template <typename Call>
void find(void* library, const char* name, Call& call) {
    call = reinterpret_cast<Call>(dlsym(library, name));
    if (!call) throw Failure(kRuntimeMissing, std::string("the CUDA driver has no ") + name);
}

void open_driver(const std::string& path) {
    void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        const char* const why = dlerror();
        throw Failure(kRuntimeMissing, std::string("no CUDA driver: ") + (why ? why : path));
    }
    find(library, "cuInit", driver.init);
    find(library, "cuDriverGetVersion", driver.version);
    find(library, "cuDeviceGet", driver.device);
    find(library, "cuDeviceGetName", driver.device_name);
    find(library, "cuDeviceGetAttribute", driver.device_attribute);
    find(library, "cuDevicePrimaryCtxSetFlags", driver.set_flags);
    find(library, "cuDevicePrimaryCtxRetain", driver.retain);
    find(library, "cuDevicePrimaryCtxRelease", driver.release);
    find(library, "cuCtxSetCurrent", driver.use);
    find(library, "cuModuleLoadData", driver.load);
    find(library, "cuModuleUnload", driver.unload);
    find(library, "cuModuleGetFunction", driver.function);
    find(library, "cuMemAlloc_v2", driver.allocate);
    find(library, "cuMemFree_v2", driver.free);
    find(library, "cuMemcpyHtoD_v2", driver.send);
    find(library, "cuMemcpyDtoH_v2", driver.fetch);
    find(library, "cuLaunchKernel", driver.launch);
    find(library, "cuCtxSynchronize", driver.wait);
    find(library, "cuGetErrorString", driver.error_string);
}

void check(int error, ExitCode code, const std::string& doing) {
    if (!error) return;
    const char* text = nullptr;
    driver.error_string(error, &text);
    throw Failure(code, doing + ": " + (text ? text : "error " + std::to_string(error)));
}

}  // namespace

Gpu::Gpu(const std::string& path) {
    open_driver(path);
    const std::string doing = "cannot use the GPU";
    check(driver.init(0), kRuntimeMissing, doing);
    check(driver.version(&driver_version_), kRuntimeMissing, doing);
    check(driver.device(&device_, 0), kRuntimeMissing, doing);
    char name[128] = "";
    check(driver.device_name(name, sizeof name, device_), kRuntimeMissing, doing);
    name_ = name;
    int major = 0, minor = 0;
    check(driver.device_attribute(&major, kCapabilityMajor, device_), kRuntimeMissing, doing);
    check(driver.device_attribute(&minor, kCapabilityMinor, device_), kRuntimeMissing, doing);
    arch_ = "sm_" + std::to_string(major) + std::to_string(minor);
    // Waiting keeps the core, as computing does: it wakes at once, and a timed loop that does not
    // have its core is known by that.
    check(driver.set_flags(device_, kSpinWhileWaiting), kRuntimeMissing, doing);
    void* context = nullptr;
    check(driver.retain(&context, device_), kRuntimeMissing, doing);
    check(driver.use(context), kRuntimeMissing, doing);
}

Gpu::~Gpu() {
    if (memory_) driver.free(memory_);
    if (module_) driver.unload(module_);
    driver.release(device_);
}

void Gpu::load(const std::string& kernels_path) {
    const auto image = read_text(kernels_path);
    if (!image) throw Failure(kLoadFailed, kernels_path + " cannot be read");
    check(driver.load(&module_, image->data()), kLoadFailed, "the driver refuses the kernels");
}

Function Gpu::function(const std::string& kernel) const {
    Function found = nullptr;
    check(driver.function(&found, module_, kernel.c_str()), kLoadFailed, "no kernel " + kernel);
    return found;
}

Address Gpu::allocate(size_t bytes) {
    check(driver.allocate(&memory_, bytes), kLoadFailed,
          "no " + std::to_string(bytes >> 20) + " MiB of memory on the GPU");
    return memory_;
}

void Gpu::send(Address to, const void* from, size_t bytes) const {
    check(driver.send(to, from, bytes), kInferenceFailed, "cannot copy to the GPU");
}

void Gpu::fetch(void* to, Address from, size_t bytes) const {
    check(driver.fetch(to, from, bytes), kInferenceFailed, "cannot copy from the GPU");
}

void Gpu::launch(
    Function function, Dimensions grid, Dimensions block, unsigned shared_bytes,
    std::vector<Address>& arguments) const {
    void* pointers[32];
    if (arguments.size() > 32) throw Failure(kInferenceFailed, "a kernel of over 32 arguments");
    for (size_t i = 0; i < arguments.size(); ++i) pointers[i] = &arguments[i];
    const int error = driver.launch(
        function, grid.x, grid.y, grid.z, block.x, block.y, block.z, shared_bytes, nullptr,
        pointers, nullptr);
    check(error, kInferenceFailed, "cannot launch a kernel");
}

void Gpu::wait() const { check(driver.wait(), kInferenceFailed, "a kernel failed"); }

}  // namespace edgepose::cuda
