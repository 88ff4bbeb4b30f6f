// The table of kernels, made from the generated source (see engines/tvm/cuda_on_host.py);
// one without a name ends it.
#pragma once

using Body = void (*)(void** arguments);

struct Kernel {
    const char* name;
    Body body;
    int arguments;
    unsigned most_threads;  // of a block: its launch bounds
    bool cooperates;        // its threads wait for each other
};

extern const Kernel kKernels[];
extern const int kMajor, kMinor;  // compute capability
