// SHA-256 (FIPS 180-4), for the hashes that the runner protocol asks for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace edgepose {

class Sha256 {
public:
    Sha256();
    void update(const void* data, size_t size);
    std::string hex_digest();  // ends it: call it once

private:
    void absorb(const uint8_t* block);

    uint32_t state_[8];
    uint8_t buffer_[64];
    uint64_t length_ = 0;
};

std::string sha256_hex(const void* data, size_t size);

// Of the file at `path`; throws Failure(kCorruptFile) where it cannot be read.
std::string sha256_file(const std::string& path);

}  // namespace edgepose
