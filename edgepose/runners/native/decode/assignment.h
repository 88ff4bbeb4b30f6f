// The assignment problem: who gets what, at the least total cost.
#pragma once

#include <cstddef>
#include <vector>

namespace edgepose {

// Row-major costs [rows, columns].
struct Costs {
    int rows;
    int columns;
    std::vector<double> values;

    double at(int row, int column) const { return values[std::size_t(row) * columns + column]; }
};

// The column of each row, no column twice, by shortest augmenting paths (Jonker and Volgenant,
// Computing 1987). There must be at least as many columns as rows. Where several assignments cost
// the same, rows have their first choice in order. -1 only where costs are not finite.
std::vector<int> assign(const Costs& costs);

}  // namespace edgepose
