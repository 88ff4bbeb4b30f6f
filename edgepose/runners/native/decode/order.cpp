#include "order.h"

#include <algorithm>

namespace edgepose {

std::vector<int> best_first(const std::vector<float>& scores) {
    std::vector<int> order;
    for (int i = 0; i < int(scores.size()); ++i) order.push_back(i);
    // Not a stable sort: twice the code, and one copy of this one serves all decoders.
    std::sort(order.begin(), order.end(), [&](int a, int b) {
        return scores[a] != scores[b] ? scores[a] > scores[b] : a < b;
    });
    return order;
}

}  // namespace edgepose
