// What one process of a runner does, read from plan.json or made for a bundle started by hand.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "json.h"

namespace edgepose {

constexpr int kProtocol = 1;

struct TensorSpec {
    std::string name;
    std::vector<int> shape;
};

// One golden case: tensor name -> path of its .npy file.
struct GoldenCase {
    std::string name;
    std::map<std::string, std::string> inputs;
    std::map<std::string, std::string> outputs;
};

struct Plan {
    std::string run_id;
    std::string mode;  // prove, time, profile, trace, infer, stages
    std::string engine;
    std::map<std::string, std::string> artifact;  // file name -> path
    Json options;
    Json reference_options;        // mode trace only
    std::set<std::string> follow;  // mode trace only: layers
    std::vector<TensorSpec> inputs;
    std::vector<TensorSpec> outputs;
    std::vector<GoldenCase> golden;
    std::map<std::string, std::string> batch;  // mode infer only: tensor -> path
    Json decoder;                              // null: outputs are not decoded here
    std::map<std::string, std::string> sha256;  // path -> expected hash
    int threads = 1;
    std::vector<int> cpus;  // empty: any
    int warmup_min = 0;
    int warmup_max = 0;
    int runs = 0;
    int repeats = 1;  // mode prove: inferences per golden case
    double sensor_period_s = 0;
    Json gate;
};

// The plan in `folder`, its protocol number and files checked; throws Failure.
Plan read_plan(const std::string& folder);

// A plan of the papers' protocol (50 + 200) for the bundle in `folder`; throws Failure.
Plan plan_from_bundle(const std::string& folder, const std::string& mode);

// Throws Failure(kBadPlan) unless the plan is for `engine`.
void check_engine(const Plan& plan, const std::string& engine);

// Path of the artifact's file `name`; throws Failure(kBadPlan).
const std::string& artifact_file(const Plan& plan, const std::string& name);

// Throws Failure(kCorruptFile) unless every file of the plan has its hash.
void check_files(const Plan& plan);

}  // namespace edgepose
