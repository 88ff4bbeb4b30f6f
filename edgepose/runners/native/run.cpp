#include "run.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "cpu.h"
#include "drift.h"
#include "files.h"
#include "golden.h"
#include "infer.h"
#include "outputs.h"
#include "sensors.h"
#include "sha256.h"
#include "stages.h"
#include "timing.h"
#include "warmup.h"

namespace edgepose {

namespace {

constexpr int kWarmupStep = 10;

void append(Latencies& all, const Latencies& more) {
    all.insert(all.end(), more.begin(), more.end());
}

std::map<std::string, std::string> hash_outputs(const Backend& backend) {
    std::map<std::string, std::string> hashes;
    for (const auto& [name, tensor] : backend.outputs()) {
        hashes[name] = sha256_hex(tensor.values.data(), 4 * tensor.values.size());
    }
    return hashes;
}

bool all_finite(const Tensors& tensors) {
    for (const auto& named : tensors) {
        for (float value : named.second.values) {
            if (!std::isfinite(value)) return false;
        }
    }
    return true;
}

std::string utc_now() {
    const time_t now = time(nullptr);
    char text[32];
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", gmtime(&now));
    return text;
}

// Not getrusage: its figure starts with the peak of the process that started us.
double peak_rss_mib() {
    const std::string status = read_text("/proc/self/status").value_or("");
    const size_t at = status.find("VmHWM:");
    return at == std::string::npos ? NAN : atof(status.c_str() + at + strlen("VmHWM:")) / 1024;
}

std::string quoted_list(const std::vector<std::string>& words) {
    std::string list;
    for (const std::string& word : words) list += (list.empty() ? "" : ", ") + quote_json(word);
    return "[" + list + "]";
}

void add_drift(JsonObject& line, const Drift& drift) {
    line.add("finite", drift.finite).add("max_relative_error", drift.max_relative_error);
    line.add("mean_relative_error", drift.mean_relative_error).add("cosine", drift.cosine);
}

// One plan on one loaded artifact.
class Run {
public:
    Run(const Plan& plan, std::string folder, ResultFile& result)
        : plan_(plan), folder_(std::move(folder)), result_(result) {}

    void execute(LoadBackend load) {
        cpus_ = pin_to(plan_.cpus);
        const std::string started_at = utc_now();
        const int64_t begin = clock_ns(CLOCK_MONOTONIC);
        backend_ = load(plan_);
        const int64_t load_ns = clock_ns(CLOCK_MONOTONIC) - begin;
        write_header(started_at, load_ns);
        if (plan_.mode == "prove") {
            prove();
        } else if (plan_.mode == "time") {
            time_with_sensors();
        } else if (plan_.mode == "profile") {
            profile();
        } else if (plan_.mode == "infer") {
            infer_batch(plan_, folder_, *backend_, result_);
        } else if (plan_.mode == "stages") {
            time_stages(plan_, *backend_, result_);
        } else {
            trace(load);
        }
        result_.write("memory", JsonObject().add("peak_rss_mib", peak_rss_mib()));
    }

private:
    void write_header(const std::string& started_at, int64_t load_ns) {
        JsonObject header;
        header.add("protocol", kProtocol).add("run_id", plan_.run_id);
        header.add("pid", static_cast<int>(getpid()));
        const auto boot_id = read_line("/proc/sys/kernel/random/boot_id");
        boot_id ? header.add("boot_id", *boot_id) : header.add_null("boot_id");
        header.add("started_at", started_at).add("runner", "native");
        header.add("versions", backend_->versions());
        cpus_.empty() ? header.add_null("cpus") : header.add("cpus", cpus_);
        header.add_raw("cpu_features", quoted_list(cpu_features()));
        header.add("threads", plan_.threads).add("load_ms", double(load_ns) / 1e6);
        result_.write("header", header);
    }

    void prove() {
        for (const GoldenCase& golden : plan_.golden) {
            backend_->bind(load_inputs(plan_, golden));
            const Tensors outputs = worst_outputs();
            for (const auto& [name, path] : golden.outputs) {
                write_proof(golden.name, name, read_npy(path), output_of(outputs, name));
            }
            write_decoded(plan_, golden.name, outputs, result_);
        }
        const Latencies estimate = infer_timed(*backend_, plan_.runs);
        result_.write("estimate", JsonObject().add("ns", estimate));
    }

    // Of several inferences the first that gives NaN or Inf, else the last.
    Tensors worst_outputs() {
        Tensors outputs;
        for (int i = 0; i < std::max(plan_.repeats, 1); ++i) {
            backend_->infer();
            outputs = backend_->outputs();
            if (!all_finite(outputs)) break;
        }
        return outputs;
    }

    void write_proof(
        const std::string& golden, const std::string& name, const Tensor& wanted,
        const Tensor& output) {
        JsonObject line;
        line.add("case", golden);
        save_output(line, folder_, golden, name, output);
        add_drift(line, tensor_drift(wanted, output));
        result_.write("proof", line);
    }

    void time_with_sensors() {
        std::unique_ptr<SensorProcess> sensors;
        if (plan_.sensor_period_s > 0) {
            sensors = std::make_unique<SensorProcess>(folder_, plan_.sensor_period_s, cpus_);
        }
        time_inferences();
        if (!sensors) return;
        for (const std::string& reading : sensors->stop()) {
            const Json parsed = Json::parse(reading);
            JsonObject line;
            line.add("at_ms", static_cast<int64_t>(parsed.at("at_ms").number()));
            for (const char* key : {"temperatures_c", "clocks_mhz"}) {
                std::map<std::string, double> values;
                for (const auto& [name, value] : parsed.at(key).object()) {
                    values[name] = value.number();
                }
                line.add(key, values);
            }
            const Json& throttled = parsed.at("throttled");
            throttled.is_null() ? line.add_null("throttled")
                                : line.add("throttled", throttled.string());
            result_.write("sensor", line);
        }
    }

    void time_inferences() {
        backend_->bind(load_inputs(plan_, first_case(plan_)));
        backend_->infer();
        const auto first = hash_outputs(*backend_);
        const bool may_go_on = plan_.warmup_max > plan_.warmup_min;
        Latencies warmup = infer_timed(*backend_, plan_.warmup_min);
        bool converged = has_converged(warmup);
        while (may_go_on && !converged && static_cast<int>(warmup.size()) < plan_.warmup_max) {
            const int left = plan_.warmup_max - static_cast<int>(warmup.size());
            append(warmup, infer_timed(*backend_, std::min(kWarmupStep, left)));
            converged = has_converged(warmup);
        }
        JsonObject line;
        line.add("ns", warmup);
        may_go_on ? line.add("converged", converged) : line.add_null("converged");
        result_.write("warmup", line);

        const int64_t cpu_begin = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
        const int64_t begin = clock_ns(CLOCK_MONOTONIC);
        const Latencies samples = infer_timed(*backend_, plan_.runs);
        const int64_t wall_ns = clock_ns(CLOCK_MONOTONIC) - begin;
        const int64_t cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_begin;
        result_.write(
            "samples",
            JsonObject().add("ns", samples).add("wall_ns", wall_ns).add("cpu_ns", cpu_ns));
        const auto last = hash_outputs(*backend_);
        result_.write(
            "outputs", JsonObject().add("sha256", last).add("same_as_first", first == last));
    }

    void profile() {
        backend_->bind(load_inputs(plan_, first_case(plan_)));
        infer_timed(*backend_, plan_.warmup_min);
        std::vector<LayerTime> layers;
        std::vector<Latencies> latencies;
        for (int pass = 0; pass < plan_.runs; ++pass) {
            layers = backend_->profile();
            latencies.resize(layers.size());
            for (size_t i = 0; i < layers.size(); ++i) latencies[i].push_back(layers[i].ns);
        }
        for (size_t i = 0; i < layers.size(); ++i) {
            JsonObject line;
            line.add("name", layers[i].name).add("type", layers[i].type);
            result_.write("layer", line.add("ns", latencies[i]));
        }
    }

    void trace(LoadBackend load) {
        Plan exact = plan_;
        exact.options = plan_.reference_options;
        const std::unique_ptr<Backend> reference = load(exact);
        for (const GoldenCase& golden : plan_.golden) {
            const Tensors inputs = load_inputs(plan_, golden);
            backend_->bind(inputs);
            reference->bind(inputs);
            for (const LayerDrift& layer : backend_->trace(*reference, plan_.follow)) {
                JsonObject line;
                line.add("case", golden.name).add("name", layer.name).add("type", layer.type);
                add_drift(line, layer.drift);
                line.add("largest", layer.largest);
                JsonObject alone;
                add_drift(alone, layer.alone);
                line.add_raw("alone", alone.text());
                JsonObject outputs;
                for (const auto& [name, drift] : layer.outputs) {
                    JsonObject figures;
                    add_drift(figures, drift);
                    outputs.add_raw(name, figures.text());
                }
                result_.write("trace", line.add_raw("outputs", outputs.text()));
            }
        }
    }

    const Plan& plan_;
    const std::string folder_;
    ResultFile& result_;
    std::vector<int> cpus_;
    std::unique_ptr<Backend> backend_;
};

}  // namespace

void run_plan(const Plan& plan, const std::string& folder, ResultFile& result, LoadBackend load) {
    Run(plan, folder, result).execute(load);
}

}  // namespace edgepose
