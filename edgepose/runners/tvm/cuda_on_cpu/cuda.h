// Stands in for CUDA's own header where there is no GPU: kernels are compiled as C++ and each thread
// of a block is a fiber (see driver.cpp). It covers what TVM's generated source uses, no more.
#pragma once

#include <cmath>
#include <cstdint>

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(threads)
#define __shared__ static  // one block runs at a time

struct dim3 {
    unsigned x, y, z;
};

extern dim3 threadIdx;
extern dim3 blockIdx;

void __syncthreads();
float shuffled(float value, int lane);
unsigned lane_of_thread();

inline unsigned __activemask() { return 0xffffffffu; }

inline float __shfl_sync(unsigned, float value, int lane, int) { return shuffled(value, lane); }

inline float __shfl_down_sync(unsigned, float value, int offset, int) {
    return shuffled(value, static_cast<int>(lane_of_thread()) + offset);
}

inline float __shfl_up_sync(unsigned, float value, int offset, int) {
    return shuffled(value, static_cast<int>(lane_of_thread()) - offset);
}

#define EDGEPOSE_VECTORS(Number)                                                             \
    struct Number##2 {                                                                       \
        Number x, y;                                                                         \
    };                                                                                       \
    struct alignas(16) Number##4 {                                                           \
        Number x, y, z, w;                                                                   \
    };                                                                                       \
    inline Number##2 make_##Number##2(Number x, Number y) { return {x, y}; }                 \
    inline Number##4 make_##Number##4(Number x, Number y, Number z, Number w) {              \
        return {x, y, z, w};                                                                 \
    }

EDGEPOSE_VECTORS(float)
EDGEPOSE_VECTORS(int)

template <typename Number>
Number max(Number a, Number b) { return a < b ? b : a; }
template <typename Number>
Number min(Number a, Number b) { return b < a ? b : a; }

inline float __expf(float value) { return std::exp(value); }
inline float __logf(float value) { return std::log(value); }
inline float rsqrtf(float value) { return 1.0f / std::sqrt(value); }

// Only CUDA takes the keyword after __shared__.
#define alignas(bytes) __attribute__((aligned(bytes)))
