#include "sensors.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "cpu.h"
#include "files.h"
#include "json.h"
#include "readings.h"

namespace edgepose {

namespace {

int64_t now_ms() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return int64_t(now.tv_sec) * 1000 + now.tv_nsec / 1000000;
}

}  // namespace

int sample_forever(const std::vector<std::string>& words) {
    if (words.size() < 3) return 2;
    const double period_s = atof(words[1].c_str());
    const int parent = atoi(words[2].c_str());
    std::vector<int> avoid;
    for (size_t i = 3; i < words.size(); ++i) avoid.push_back(atoi(words[i].c_str()));
    stay_off(avoid);
    FILE* file = fopen(words[0].c_str(), "w");
    if (!file) return 1;
    const int64_t start = now_ms();
    bool has_throttle_bits = true;  // asked for once only where there is no such tool
    while (getppid() == parent) {
        const Reading reading = read_sensors(has_throttle_bits);
        has_throttle_bits = reading.throttled.has_value();
        if (reading.empty()) break;
        JsonObject line;
        line.add("at_ms", now_ms() - start);
        add_reading(line, reading);
        fprintf(file, "%s\n", line.text().c_str());
        fflush(file);
        usleep(static_cast<useconds_t>(period_s * 1e6));
    }
    fclose(file);
    return 0;
}

SensorProcess::SensorProcess(
    const std::string& folder, double period_s, const std::vector<int>& avoid)
    : path_(folder + "/sensors.jsonl") {
    std::vector<std::string> words = {
        "runner", "--sensors", path_, std::to_string(period_s), std::to_string(getpid())};
    for (int core : avoid) words.push_back(std::to_string(core));
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    child_ = fork();
    if (child_ == 0) {
        execv("/proc/self/exe", arguments.data());
        _exit(127);
    }
}

SensorProcess::~SensorProcess() { stop(); }

std::vector<std::string> SensorProcess::stop() {
    if (child_ <= 0) return {};
    kill(child_, SIGKILL);
    waitpid(child_, nullptr, 0);
    child_ = 0;
    std::vector<std::string> lines;
    const std::string text = read_text(path_).value_or("");
    size_t begin = 0;
    // What follows the last newline is torn.
    for (size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
        lines.push_back(text.substr(begin, end - begin));
    }
    return lines;
}

}  // namespace edgepose
