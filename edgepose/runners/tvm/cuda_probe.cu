// Proves a device's CUDA once: its nvcc compiles this, and its GPU runs the result.
// Prints one JSON object, or says on stderr what is wrong. C++11: old compilers take it.

#include <cstdio>

#include <cuda_runtime.h>

static __global__ void square(float* values) {
    values[threadIdx.x] = values[threadIdx.x] * values[threadIdx.x];
}

static int failed(cudaError_t error) {
    if (error == cudaSuccess) return 0;
    fprintf(stderr, "%s\n", cudaGetErrorString(error));
    return 1;
}

int main() {
    const int count = 32;
    float values[count];
    for (int i = 0; i < count; ++i) values[i] = float(i);
    cudaDeviceProp gpu;
    int driver = 0;
    float* there = nullptr;
    if (failed(cudaDriverGetVersion(&driver))) return 1;
    if (failed(cudaGetDeviceProperties(&gpu, 0))) return 1;
    if (failed(cudaMalloc(&there, sizeof values))) return 1;
    if (failed(cudaMemcpy(there, values, sizeof values, cudaMemcpyHostToDevice))) return 1;
    square<<<1, count>>>(there);
    if (failed(cudaGetLastError())) return 1;
    if (failed(cudaMemcpy(values, there, sizeof values, cudaMemcpyDeviceToHost))) return 1;
    for (int i = 0; i < count; ++i) {
        if (values[i] == float(i) * float(i)) continue;
        fprintf(stderr, "the GPU computes %d * %d = %f\n", i, i, values[i]);
        return 1;
    }
    printf("{\"gpu\": \"%s\", \"arch\": \"sm_%d%d\", \"driver\": \"%d.%d\"}\n", gpu.name, gpu.major,
           gpu.minor, driver / 1000, driver % 1000 / 10);
    return 0;
}
