// For tests: one line of latencies in, 1 or 0 out, as has_converged judges them.

#include <iostream>
#include <sstream>
#include <string>

#include "warmup.h"

int main() {
    for (std::string line; std::getline(std::cin, line);) {
        std::istringstream numbers(line);
        std::vector<int64_t> latencies;
        for (int64_t value; numbers >> value;) latencies.push_back(value);
        std::cout << edgepose::has_converged(latencies) << "\n";
    }
}
