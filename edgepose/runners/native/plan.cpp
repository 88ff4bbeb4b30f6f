#include "plan.h"

#include <algorithm>
#include <iterator>

#include "failure.h"
#include "files.h"
#include "sha256.h"

namespace edgepose {

namespace {

using Strings = std::map<std::string, std::string>;

constexpr const char* kKeys[] = {
    "run_id", "mode",    "engine", "artifact",   "options",    "inputs", "outputs", "golden",
    "sha256", "threads", "cpus",   "warmup_min", "warmup_max", "runs",   "gate",    "sensor_period_s"};
const std::string kModes[] = {"prove", "time", "profile", "trace", "infer", "stages"};
constexpr int kMostThreads = 1024;
constexpr int kMostRuns = 100000000;  // a slip of the pen, not a plan, is beyond this

// Paths of a bundle are relative to its folder; those of a plan are absolute (`prefix` is empty).
Strings read_strings(const Json& json, const std::string& prefix) {
    Strings found;
    for (const auto& [key, value] : json.object()) found[key] = prefix + value.string();
    return found;
}

std::vector<TensorSpec> read_specs(const Json& json) {
    std::vector<TensorSpec> specs;
    for (const Json& item : json.array()) {
        TensorSpec spec{item.at("name").string(), {}};
        for (const Json& size : item.at("shape").array()) spec.shape.push_back(size.integer());
        specs.push_back(spec);
    }
    return specs;
}

std::vector<GoldenCase> read_golden(const Json& json, const std::string& prefix) {
    std::vector<GoldenCase> cases;
    for (const Json& item : json.array()) {
        cases.push_back({item.at("name").string(), read_strings(item.at("inputs"), prefix),
                         read_strings(item.at("outputs"), prefix)});
    }
    return cases;
}

Json read_object(const std::string& path, const std::string& name) {
    const std::optional<std::string> text = read_text(path);
    if (!text) throw Failure(kBadPlan, name + " cannot be read");
    Json json;
    try {
        json = Json::parse(*text);
    } catch (const Failure& failure) {
        throw Failure(kBadPlan, name + " cannot be read: " + failure.message);
    }
    if (json.kind() != Json::Kind::kObject) throw Failure(kBadPlan, name + " holds no object");
    return json;
}

void check_protocol(const Json& json) {
    const bool told = json.has("protocol") && !json.at("protocol").is_null();
    const int protocol = told ? json.at("protocol").integer() : 0;
    if (protocol == kProtocol) return;
    throw Failure(kBadPlan, "protocol " + (told ? std::to_string(protocol) : "None") +
                                ", this runner speaks " + std::to_string(kProtocol));
}

void require_keys(const Json& json) {
    std::string missing;
    for (const char* key : kKeys) {
        if (!json.has(key)) missing += (missing.empty() ? "" : ", ") + std::string(key);
    }
    if (!missing.empty()) throw Failure(kBadPlan, "the plan lacks " + missing);
}

}  // namespace

Plan read_plan(const std::string& folder) {
    const Json json = read_object(folder + "/plan.json", "plan.json");
    check_protocol(json);
    require_keys(json);
    Plan plan;
    plan.run_id = json.at("run_id").string();
    plan.mode = json.at("mode").string();
    if (std::find(std::begin(kModes), std::end(kModes), plan.mode) == std::end(kModes)) {
        throw Failure(kBadPlan, "unknown mode '" + plan.mode + "'");
    }
    plan.engine = json.at("engine").string();
    plan.artifact = read_strings(json.at("artifact"), "");
    plan.options = json.at("options");
    if (plan.mode == "trace") {
        plan.reference_options = json.at("reference_options");
        for (const Json& name : json.at("follow").array()) plan.follow.insert(name.string());
    }
    if (plan.mode == "infer") {
        if (!json.has("batch") || json.at("batch").is_null()) {
            throw Failure(kBadPlan, "the plan lacks batch");
        }
        plan.batch = read_strings(json.at("batch"), "");
    }
    if (json.has("decoder")) plan.decoder = json.at("decoder");
    plan.inputs = read_specs(json.at("inputs"));
    plan.outputs = read_specs(json.at("outputs"));
    plan.golden = read_golden(json.at("golden"), "");
    plan.sha256 = read_strings(json.at("sha256"), "");
    plan.threads = json.at("threads").integer(1, kMostThreads);
    if (!json.at("cpus").is_null()) {
        for (const Json& cpu : json.at("cpus").array()) plan.cpus.push_back(cpu.integer());
    }
    plan.warmup_min = json.at("warmup_min").integer(0, kMostRuns);
    plan.warmup_max = json.at("warmup_max").integer(0, kMostRuns);
    plan.runs = json.at("runs").integer(0, kMostRuns);
    if (json.has("repeats")) plan.repeats = json.at("repeats").integer(0, kMostRuns);
    plan.sensor_period_s = json.at("sensor_period_s").number();
    plan.gate = json.at("gate");
    check_files(plan);
    return plan;
}

Plan plan_from_bundle(const std::string& folder, const std::string& mode) {
    std::optional<std::string> text = read_text(folder + "/manifest.json");
    if (!text) throw Failure(kBadPlan, folder + " is neither a run nor a bundle");
    Json manifest = Json::parse(*text);
    const std::string prefix = folder + "/";
    const Json& artifact = manifest.at("artifact");
    Plan plan;
    plan.run_id = "by-hand-" + mode;
    plan.mode = mode;
    plan.engine = manifest.at("recipe").at("engine").string();
    for (const Json& name : artifact.at("files").array()) {
        plan.artifact[name.string()] = prefix + name.string();
    }
    plan.options = artifact.at("options");
    plan.inputs = read_specs(manifest.at("inputs"));
    plan.outputs = read_specs(manifest.at("outputs"));
    plan.golden = read_golden(manifest.at("golden"), prefix);
    for (const auto& [name, digest] : manifest.at("files").object()) {
        plan.sha256[prefix + name] = digest.string();
    }
    plan.warmup_min = plan.warmup_max = 50;
    plan.runs = 200;
    plan.gate = manifest.at("recipe").at("gates").at("tensor");
    return plan;
}

void check_engine(const Plan& plan, const std::string& engine) {
    if (plan.engine != engine) {
        throw Failure(kBadPlan, "this runner has no engine '" + plan.engine + "'");
    }
}

const std::string& artifact_file(const Plan& plan, const std::string& name) {
    const auto found = plan.artifact.find(name);
    if (found == plan.artifact.end()) throw Failure(kBadPlan, "the artifact lacks " + name);
    return found->second;
}

void check_files(const Plan& plan) {
    for (const auto& [path, expected] : plan.sha256) {
        if (sha256_file(path) != expected) {
            throw Failure(kCorruptFile, path + " is corrupt: its sha256 is not " + expected);
        }
    }
}

}  // namespace edgepose
