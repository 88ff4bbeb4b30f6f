#include "sensors.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <optional>

#include "cpu.h"
#include "files.h"
#include "json.h"

namespace edgepose {

namespace {

const std::string kZone = "thermal_zone";

std::map<std::string, double> temperatures_c() {
    const std::string folder = "/sys/class/thermal/";
    std::map<std::string, double> found;
    for (const std::string& zone : numbered_entries(folder, kZone)) {
        const std::optional<double> milli = read_number(folder + zone + "/temp");
        if (!milli) continue;
        const std::string type = read_line(folder + zone + "/type").value_or(zone);
        // Some kernels have several zones of one type.
        found[found.count(type) ? type + "-" + zone.substr(kZone.size()) : type] = *milli / 1000;
    }
    return found;
}

std::map<std::string, double> clocks_mhz() {
    const std::string folder = "/sys/devices/system/cpu/";
    std::map<std::string, double> found;
    for (const std::string& core : numbered_entries(folder, "cpu")) {
        std::optional<double> khz = read_number(folder + core + "/cpufreq/scaling_cur_freq");
        if (khz) found[core] = *khz / 1000;
    }
    return found;
}

// The Raspberry Pi firmware's throttle bits, as its tool prints them ("throttled=0x0").
std::optional<std::string> throttle_bits() {
    int ends[2];
    if (pipe(ends) != 0) return std::nullopt;
    const pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
        close(ends[0]);
        execlp("vcgencmd", "vcgencmd", "get_throttled", static_cast<char*>(nullptr));
        _exit(127);
    }
    close(ends[1]);
    std::string text;
    char block[64];
    for (ssize_t size; (size = read(ends[0], block, sizeof block)) > 0;) text.append(block, size);
    close(ends[0]);
    int status = 1;
    if (child > 0) waitpid(child, &status, 0);
    const size_t equals = text.find('=');
    if (status != 0 || equals == std::string::npos) return std::nullopt;
    text = text.substr(equals + 1);
    text.resize(std::min(text.find_first_of(" \r\n"), text.size()));
    return text.empty() ? std::nullopt : std::optional<std::string>(text);
}

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
        const auto temperatures = temperatures_c();
        const auto clocks = clocks_mhz();
        std::optional<std::string> throttled;
        if (has_throttle_bits) throttled = throttle_bits();
        has_throttle_bits = throttled.has_value();
        if (temperatures.empty() && clocks.empty() && !throttled) break;
        JsonObject reading;
        reading.add("at_ms", now_ms() - start);
        reading.add("temperatures_c", temperatures).add("clocks_mhz", clocks);
        throttled ? reading.add("throttled", *throttled) : reading.add_null("throttled");
        fprintf(file, "%s\n", reading.text().c_str());
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
