// What an engine brings to the runner: load, bind inputs once, infer, read outputs.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "drift.h"
#include "plan.h"
#include "tensor.h"

namespace edgepose {

struct LayerTime {
    std::string name;
    std::string type;
    int64_t ns;
};

// A layer's outputs against those of the same layer in a reference net.
struct LayerDrift {
    std::string name;
    std::string type;
    Drift drift;     // both nets run from the inputs on: errors add up
    Drift alone;     // this layer gets the reference's blobs: its own error
    double largest;  // max |reference|
    std::map<std::string, Drift> outputs;  // of the reference net with this layer's own error in it
};

class Backend {
public:
    virtual ~Backend() = default;

    virtual std::map<std::string, std::string> versions() const = 0;
    virtual void bind(const Tensors& inputs) = 0;
    virtual void infer() = 0;  // the timed part, and nothing else
    virtual Tensors outputs() const = 0;

    // One inference, layer by layer in the order of execution.
    virtual std::vector<LayerTime> profile() = 0;

    // One inference beside `reference`: the same artifact with other options, by the same loader
    // and with the same inputs bound. The errors of the layers `followed` are followed to the
    // outputs where they are more than rounding: each costs an inference of all that comes after.
    virtual std::vector<LayerDrift> trace(
        Backend& reference, const std::set<std::string>& followed) = 0;
};

// Loads the plan's artifact with its options; throws Failure(kLoadFailed).
using LoadBackend = std::unique_ptr<Backend> (*)(const Plan& plan);

}  // namespace edgepose
