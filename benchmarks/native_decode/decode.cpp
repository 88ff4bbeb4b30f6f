// The native runner's decoders alone, on outputs from files: `decode JOB.json`.
//
// {"decoder": as in a plan, "cases": [[.npy, …], …], "runs": n} prints per case a line with what
// was found and the time of each of the n passes in ns.
// {"poses": .npy [N, K, 3], "areas": […], "sigmas": […], "scores": […], "limit": x} prints the
// indices of those poses that are not found twice.
#include <cstdio>

#include "decode/decoder.h"
#include "decode/nms.h"
#include "failure.h"
#include "files.h"
#include "timing.h"

using namespace edgepose;

namespace {

void decode_cases(const Json& job) {
    const Decode decode(job.at("decoder"));
    for (const Json& files : job.at("cases").array()) {
        std::vector<Tensor> tensors;
        for (const Json& path : files.array()) tensors.push_back(read_npy(path.string()));
        Outputs outputs;
        for (const Tensor& tensor : tensors) outputs.push_back(&tensor);
        Decoded decoded;
        std::vector<int64_t> latencies;
        for (int run = 0; run < job.at("runs").integer(1, 1000000); ++run) {
            const int64_t begin = clock_ns(CLOCK_MONOTONIC);
            decoded = decode(outputs);
            latencies.push_back(clock_ns(CLOCK_MONOTONIC) - begin);
        }
        JsonObject line;
        add_decoded(line, decoded).add("ns", latencies);
        puts(line.text().c_str());
    }
}

std::vector<double> numbers(const Json& json) {
    std::vector<double> values;
    for (const Json& value : json.array()) values.push_back(value.number());
    return values;
}

void suppress(const Json& job) {
    const Tensor poses = read_npy(job.at("poses").string());
    const std::vector<double> scores = numbers(job.at("scores"));
    std::vector<Person> people;
    const float* at = poses.values.data();
    for (int i = 0; i < poses.shape[0]; ++i) {
        Person person{{}, static_cast<float>(scores[i])};
        for (int joint = 0; joint < poses.shape[1]; ++joint, at += 3) {
            person.points.push_back({at[0], at[1], at[2]});
        }
        people.push_back(person);
    }
    const std::vector<int> kept = suppress_people(
        people, numbers(job.at("areas")), numbers(job.at("sigmas")), job.at("limit").number());
    puts(JsonObject().add("kept", kept).text().c_str());
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) return 2;
    try {
        const Json job = Json::parse(read_text(argv[1]).value_or(""));
        job.has("decoder") ? decode_cases(job) : suppress(job);
        return 0;
    } catch (const Failure& failure) {
        fprintf(stderr, "%s\n", failure.message.c_str());
        return failure.code;
    }
}
