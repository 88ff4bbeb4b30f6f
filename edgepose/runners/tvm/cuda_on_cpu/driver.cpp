// Stands in for the GPU's driver on a host without one, with the kernels compiled as C++ beside it:
// it shows what they compute, never how long they take. Threads of a block are fibers that take
// turns at __syncthreads and at shuffles.

#include <setjmp.h>
#include <ucontext.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "cuda.h"
#include "kernels.h"

dim3 threadIdx;
dim3 blockIdx;

namespace {

constexpr unsigned kWarp = 32;
constexpr size_t kStackBytes = 128 << 10;
constexpr int kInvalid = 1, kNoMemory = 2, kNotFound = 500;
constexpr int kMostArguments = 32;

enum class State { kReady, kBarrier, kShuffle, kDone };

struct Fiber {
    State state = State::kDone;
    bool begun = false;
    dim3 index{};
    float given = 0;  // to the others of its warp
    ucontext_t start{};
    jmp_buf place{};
    std::unique_ptr<char[]> stack;
};

// Jumping is much cheaper than swapcontext, which asks the kernel for the signal mask.
std::vector<std::unique_ptr<Fiber>> fibers;
Fiber* current = nullptr;
unsigned current_number = 0;
jmp_buf scheduler;
Body body = nullptr;
void* arguments[kMostArguments];

void wait_in(State state) {
    current->state = state;
    if (!_setjmp(current->place)) _longjmp(scheduler, 1);
}

void run_forever() {
    for (;;) {
        body(arguments);
        wait_in(State::kDone);
    }
}

void resume(unsigned number) {
    current = fibers[number].get();
    current_number = number;
    threadIdx = current->index;
    if (_setjmp(scheduler)) return;
    if (current->begun) _longjmp(current->place, 1);
    current->begun = true;
    getcontext(&current->start);
    current->stack.reset(new char[kStackBytes]);
    current->start.uc_stack.ss_sp = current->stack.get();
    current->start.uc_stack.ss_size = kStackBytes;
    current->start.uc_link = nullptr;
    makecontext(&current->start, run_forever, 0);
    setcontext(&current->start);
}

// Lets those go on that wait in `state`, and tells whether there were any. Whoever could run has run
// until it waits, too: the other threads of its warp, or of its block, are there.
bool release(unsigned count, State state) {
    bool released = false;
    for (unsigned i = 0; i < count; ++i) {
        if (fibers[i]->state != state) continue;
        fibers[i]->state = State::kReady;
        released = true;
    }
    return released;
}

// The threads of a block one after the other.
void run_alone(dim3 size) {
    for (threadIdx.z = 0; threadIdx.z < size.z; ++threadIdx.z) {
        for (threadIdx.y = 0; threadIdx.y < size.y; ++threadIdx.y) {
            for (threadIdx.x = 0; threadIdx.x < size.x; ++threadIdx.x) body(arguments);
        }
    }
}

void run_together(dim3 size) {
    const unsigned count = size.x * size.y * size.z;
    while (fibers.size() < count) fibers.push_back(std::make_unique<Fiber>());
    for (unsigned i = 0; i < count; ++i) {
        fibers[i]->index = {i % size.x, i / size.x % size.y, i / (size.x * size.y)};
        fibers[i]->state = State::kReady;
    }
    static bool backwards = false;
    backwards = !backwards;  // one of the two orders shows that a barrier is missing
    do {
        for (unsigned i = 0; i < count; ++i) {
            const unsigned number = backwards ? count - 1 - i : i;
            if (fibers[number]->state == State::kReady) resume(number);
        }
    } while (release(count, State::kShuffle) || release(count, State::kBarrier));
}

}  // namespace

void __syncthreads() { wait_in(State::kBarrier); }

unsigned lane_of_thread() { return current_number % kWarp; }

float shuffled(float value, int lane) {
    const unsigned first = current_number - lane_of_thread();
    current->given = value;
    wait_in(State::kShuffle);  // until all have given
    const bool is_there = lane >= 0 && lane < int(kWarp) && first + lane < fibers.size();
    const float taken = is_there ? fibers[first + lane]->given : value;
    wait_in(State::kShuffle);  // until all have taken
    return taken;
}

extern "C" {

int cuInit(unsigned) { return 0; }

int cuDriverGetVersion(int* version) {
    *version = 0;
    return 0;
}

int cuDeviceGet(int* device, int) {
    *device = 0;
    return 0;
}

int cuDeviceGetName(char* name, int length, int) {
    snprintf(name, length, "none: kernels run on the CPU");
    return 0;
}

int cuDeviceGetAttribute(int* value, int attribute, int) {
    *value = attribute == 75 ? kMajor : kMinor;
    return 0;
}

int cuDevicePrimaryCtxSetFlags(int, unsigned) { return 0; }
int cuDevicePrimaryCtxRetain(void**, int) { return 0; }
int cuDevicePrimaryCtxRelease(int) { return 0; }
int cuCtxSetCurrent(void*) { return 0; }
int cuModuleLoadData(void**, const void*) { return 0; }  // its kernels are linked to this
int cuModuleUnload(void*) { return 0; }
int cuCtxSynchronize() { return 0; }

int cuModuleGetFunction(void** function, void*, const char* name) {
    for (const Kernel* kernel = kKernels; kernel->name; ++kernel) {
        if (strcmp(kernel->name, name) == 0) {
            *function = const_cast<Kernel*>(kernel);
            return 0;
        }
    }
    return kNotFound;
}

int cuMemAlloc_v2(uint64_t* address, size_t bytes) {
    void* const memory = aligned_alloc(256, (bytes + 255) / 256 * 256);
    if (!memory) return kNoMemory;
    memset(memory, 0xff, bytes);  // what is read before it is written becomes NaN
    *address = reinterpret_cast<uint64_t>(memory);
    return 0;
}

int cuMemFree_v2(uint64_t address) {
    free(reinterpret_cast<void*>(address));
    return 0;
}

int cuMemcpyHtoD_v2(uint64_t to, const void* from, size_t bytes) {
    memcpy(reinterpret_cast<void*>(to), from, bytes);
    return 0;
}

int cuMemcpyDtoH_v2(void* to, uint64_t from, size_t bytes) {
    memcpy(to, reinterpret_cast<const void*>(from), bytes);
    return 0;
}

int cuLaunchKernel(
    void* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
    unsigned shared, void*, void** given, void**) {
    const Kernel& kernel = *static_cast<const Kernel*>(function);
    const bool fits = uint64_t(bx) * by * bz <= kernel.most_threads;
    if (!fits || shared || kernel.arguments > kMostArguments) return kInvalid;
    body = kernel.body;
    for (int i = 0; i < kernel.arguments; ++i) arguments[i] = *static_cast<void**>(given[i]);
    for (unsigned z = 0; z < gz; ++z) {
        for (unsigned y = 0; y < gy; ++y) {
            for (unsigned x = 0; x < gx; ++x) {
                blockIdx = {x, y, z};
                kernel.cooperates ? run_together({bx, by, bz}) : run_alone({bx, by, bz});
            }
        }
    }
    return 0;
}

int cuGetErrorString(int error, const char** text) {
    *text = error == kNotFound  ? "named symbol not found"
            : error == kInvalid ? "invalid argument"
                                : "out of memory";
    return 0;
}

}  // extern "C"
