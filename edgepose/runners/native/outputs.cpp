#include "outputs.h"

#include <algorithm>

#include "sha256.h"

namespace edgepose {

void save_output(
    JsonObject& line, const std::string& folder, const std::string& golden,
    const std::string& name, const Tensor& tensor) {
    std::string file = golden + "." + name + ".npy";
    std::replace(file.begin(), file.end(), '/', '_');
    const std::string path = folder + "/" + file;
    write_npy(path, tensor);
    line.add("output", name).add("file", file).add("sha256", sha256_file(path));
}

}  // namespace edgepose
