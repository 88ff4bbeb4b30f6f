#include "tensor.h"

#include <sys/stat.h>

#include <cerrno>
#include <climits>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "failure.h"

namespace edgepose {

namespace {

using File = std::unique_ptr<FILE, int (*)(FILE*)>;

[[noreturn]] void corrupt(const std::string& path, const std::string& why) {
    throw Failure(kCorruptFile, path + " is not a golden tensor: " + why);
}

// The exact text after `key` in a header as numpy writes it:
// "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 17, 64, 48), }"
const char* value_of(const std::string& header, const char* key) {
    const size_t at = header.find(std::string("'") + key + "': ");
    return at == std::string::npos ? "" : header.c_str() + at + strlen(key) + 4;
}

bool starts_with(const char* text, const char* start) {
    return strncmp(text, start, strlen(start)) == 0;
}

std::vector<int> parse_shape(const std::string& header, const std::string& path) {
    if (!starts_with(value_of(header, "descr"), "'<f4'")) corrupt(path, "not float32");
    if (!starts_with(value_of(header, "fortran_order"), "False")) corrupt(path, "not in C order");
    const char* at = value_of(header, "shape");
    if (*at != '(') corrupt(path, "no shape");
    std::vector<int> shape;
    for (++at; *at != ')';) {
        char* after = nullptr;
        const long size = strtol(at, &after, 10);
        const bool ends = after != at && (*after == ',' || *after == ')');
        if (!ends || size < 0 || size > INT_MAX) corrupt(path, "its shape is malformed");
        shape.push_back(static_cast<int>(size));
        at = after + strspn(after, ", ");
    }
    if (shape.empty()) corrupt(path, "it has no dimension");
    return shape;
}

// How many values the file must hold, told before memory is taken for them.
size_t count_values(const std::vector<int>& shape, size_t most, const std::string& path) {
    size_t count = 1;
    for (int size : shape) {
        if (size > 0 && count > most / size) corrupt(path, "truncated");
        count *= size;
    }
    return count;
}

size_t size_of_file(FILE* file) {
    struct stat found;
    return fstat(fileno(file), &found) == 0 ? static_cast<size_t>(found.st_size) : 0;
}

std::string shape_text(const std::vector<int>& shape) {
    std::string text = "(";
    for (int size : shape) text += std::to_string(size) + ", ";
    return text + ")";
}

}  // namespace

Tensor read_npy(const std::string& path) {
    File file(fopen(path.c_str(), "rb"), fclose);
    if (!file) throw Failure(kCorruptFile, path + " cannot be read: " + strerror(errno));
    uint8_t start[10];
    if (fread(start, 1, 10, file.get()) != 10 || memcmp(start, "\x93NUMPY\x01", 7) != 0) {
        corrupt(path, "no .npy file of version 1");
    }
    std::string header(start[8] | start[9] << 8, '\0');
    if (fread(header.data(), 1, header.size(), file.get()) != header.size()) {
        corrupt(path, "truncated");
    }
    Tensor tensor;
    tensor.shape = parse_shape(header, path);
    const size_t count = count_values(tensor.shape, size_of_file(file.get()) / 4, path);
    tensor.values.resize(count);
    if (fread(tensor.values.data(), 4, count, file.get()) != count) corrupt(path, "truncated");
    return tensor;
}

void write_npy(const std::string& path, const Tensor& tensor) {
    std::string header =
        "{'descr': '<f4', 'fortran_order': False, 'shape': " + shape_text(tensor.shape) + ", }";
    header.append(63 - (10 + header.size()) % 64, ' ');  // the values start at a multiple of 64
    header += '\n';
    const uint8_t start[10] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0,
                               static_cast<uint8_t>(header.size() & 0xFF),
                               static_cast<uint8_t>(header.size() >> 8)};
    File file(fopen(path.c_str(), "wb"), fclose);
    size_t count = tensor.values.size();
    bool written = file && fwrite(start, 1, 10, file.get()) == 10 &&
                   fwrite(header.data(), 1, header.size(), file.get()) == header.size() &&
                   fwrite(tensor.values.data(), 4, count, file.get()) == count &&
                   fflush(file.get()) == 0;
    if (!written) throw Failure(kInferenceFailed, path + " cannot be written: " + strerror(errno));
}

}  // namespace edgepose
