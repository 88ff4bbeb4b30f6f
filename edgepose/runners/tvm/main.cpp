// The TVM runner: an executable that opens TVM's runtime from the bundle, or the GPU's driver.

#include "../native/runner.h"
#include "backend.h"
#include "cuda_backend.h"

namespace {

std::unique_ptr<edgepose::Backend> load(const edgepose::Plan& plan) {
    return edgepose::is_for_cuda(plan) ? edgepose::load_cuda(plan) : edgepose::load_tvm(plan);
}

}  // namespace

int main(int argc, char** argv) {
    return edgepose::runner_main(argc, argv, "tvm", load);
}
