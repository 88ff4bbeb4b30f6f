#include "assignment.h"

#include <algorithm>
#include <limits>

namespace edgepose {

namespace {

constexpr int kNobody = -1;
constexpr double kFar = std::numeric_limits<double>::infinity();

class Assignment {
public:
    explicit Assignment(const Costs& costs)
        : costs_(costs), row_price_(costs.rows), column_price_(costs.columns),
          owner_(costs.columns, kNobody) {}

    std::vector<int> solve() {
        std::vector<int> left_over;
        for (int row = 0; row < costs_.rows; ++row) {
            if (!takes_cheapest(row)) left_over.push_back(row);
        }
        for (int row : left_over) augment(row);
        std::vector<int> chosen(costs_.rows, kNobody);
        for (int column = 0; column < costs_.columns; ++column) {
            if (owner_[column] != kNobody) chosen[owner_[column]] = column;
        }
        return chosen;
    }

private:
    // Whether one of the columns that cost the row least is still free.
    bool takes_cheapest(int row) {
        double least = kFar;
        for (int column = 0; column < costs_.columns; ++column) {
            least = std::min(least, costs_.at(row, column));
        }
        row_price_[row] = least;
        for (int column = 0; column < costs_.columns; ++column) {
            if (owner_[column] == kNobody && costs_.at(row, column) == least) {
                owner_[column] = row;
                return true;
            }
        }
        return false;
    }

    // Finds `newcomer` a column by the cheapest chain of owners who move on to another one.
    void augment(int newcomer) {
        const int columns = costs_.columns;
        std::vector<double> distance(columns, kFar);
        std::vector<int> before(columns, kNobody);  // the column whose owner would move here
        std::vector<char> is_settled(columns, 0);
        std::vector<int> settled;
        int row = newcomer, from = kNobody;
        for (;;) {
            int nearest = kNobody;
            for (int column = 0; column < columns; ++column) {
                if (is_settled[column]) continue;
                const double more = costs_.at(row, column) - row_price_[row] - column_price_[column];
                if (more < distance[column]) {
                    distance[column] = more;
                    before[column] = from;
                }
                if (distance[column] < (nearest == kNobody ? kFar : distance[nearest])) {
                    nearest = column;
                }
            }
            if (nearest == kNobody) return;
            reprice(newcomer, settled, is_settled, distance, distance[nearest]);
            is_settled[nearest] = true;
            settled.push_back(nearest);
            from = nearest;
            if (owner_[nearest] == kNobody) break;
            row = owner_[nearest];
        }
        for (int column = from; column != kNobody; column = before[column]) {
            owner_[column] = before[column] == kNobody ? newcomer : owner_[before[column]];
        }
    }

    // The prices after a search has grown by `step`: what is paid for stays paid for.
    void reprice(
        int newcomer, const std::vector<int>& settled, const std::vector<char>& is_settled,
        std::vector<double>& distance, double step) {
        row_price_[newcomer] += step;
        for (int column : settled) {
            row_price_[owner_[column]] += step;
            column_price_[column] -= step;
        }
        for (int column = 0; column < costs_.columns; ++column) {
            if (!is_settled[column]) distance[column] -= step;
        }
    }

    const Costs& costs_;
    std::vector<double> row_price_;
    std::vector<double> column_price_;
    std::vector<int> owner_;  // of each column
};

}  // namespace

std::vector<int> assign(const Costs& costs) { return Assignment(costs).solve(); }

}  // namespace edgepose
