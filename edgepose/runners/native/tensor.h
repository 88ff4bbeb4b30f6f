// Float tensors and the .npy files that hold golden data.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace edgepose {

// Row-major float32 values; their number is the product of `shape`.
struct Tensor {
    std::vector<int> shape;
    std::vector<float> values;
};

using Tensors = std::map<std::string, Tensor>;

// Little-endian float32 in C order only; throws Failure(kCorruptFile).
Tensor read_npy(const std::string& path);
void write_npy(const std::string& path, const Tensor& tensor);

}  // namespace edgepose
