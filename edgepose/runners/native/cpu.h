// The cores: which there are, which are the fast ones, what they can do, and where we run.
#pragma once

#include <string>
#include <vector>

namespace edgepose {

// Cores that this process may use now.
std::vector<int> usable_cores();

// Those of them whose capacity (else maximum clock) is the largest; all, where neither is told.
std::vector<int> big_cores();

// Stay on those of `cores` that exist; returns them, or nothing where none does.
std::vector<int> pin_to(const std::vector<int>& cores);

// Move to the other cores, where there are any.
void stay_off(const std::vector<int>& cores);

// Instruction sets that matter to inference, as the kernel or the CPU names them.
std::vector<std::string> cpu_features();

}  // namespace edgepose
