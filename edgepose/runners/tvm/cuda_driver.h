// What we need of CUDA: its driver, found on the device at run time. Neither CUDA's headers nor its
// libraries are needed to compile this, and kernels come ready from the device's own nvcc.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace edgepose::cuda {

using Address = uint64_t;
using Function = void*;

struct Dimensions {
    unsigned x, y, z;
};

// The first GPU with one block of memory and one module of kernels. Every call throws
// Failure(kInferenceFailed) with the driver's own words, except the constructor.
class Gpu {
public:
    // `driver` is the name or path of the driver's library. Throws Failure(kRuntimeMissing).
    explicit Gpu(const std::string& driver);
    ~Gpu();
    Gpu(const Gpu&) = delete;
    Gpu& operator=(const Gpu&) = delete;

    const std::string& name() const { return name_; }
    int driver_version() const { return driver_version_; }  // 10020 for 10.2
    const std::string& arch() const { return arch_; }       // as nvcc has it: sm_53

    // Once; throws Failure(kLoadFailed).
    void load(const std::string& kernels_path);
    Function function(const std::string& kernel) const;
    Address allocate(size_t bytes);

    void send(Address to, const void* from, size_t bytes) const;
    void fetch(void* to, Address from, size_t bytes) const;

    // Returns at once: `wait` tells when it is done, and whether it went well.
    void launch(
        Function function, Dimensions grid, Dimensions block, unsigned shared_bytes,
        std::vector<Address>& arguments) const;
    void wait() const;

private:
    std::string name_;
    std::string arch_;
    int driver_version_ = 0;
    int device_ = 0;
    void* module_ = nullptr;
    Address memory_ = 0;
};

}  // namespace edgepose::cuda
