// Small text files: plans, manifests, and what the kernel tells in /sys and /proc.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace edgepose {

bool file_exists(const std::string& path);

// The whole file, or nothing where it cannot be read.
std::optional<std::string> read_text(const std::string& path);

// Its first line without the newline, or nothing.
std::optional<std::string> read_line(const std::string& path);

// Its first line as a number, or nothing.
std::optional<double> read_number(const std::string& path);

// Sorted names in a folder that start with `prefix` followed by a digit.
std::vector<std::string> numbered_entries(const std::string& folder, const std::string& prefix);

}  // namespace edgepose
