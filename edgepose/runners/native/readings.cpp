#include "readings.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "files.h"

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

}  // namespace

Reading read_sensors(bool throttle_bits_too) {
    Reading reading{temperatures_c(), clocks_mhz(), std::nullopt};
    if (throttle_bits_too) reading.throttled = throttle_bits();
    return reading;
}

void add_reading(JsonObject& object, const Reading& reading) {
    object.add("temperatures_c", reading.temperatures_c).add("clocks_mhz", reading.clocks_mhz);
    reading.throttled ? object.add("throttled", *reading.throttled)
                      : object.add_null("throttled");
}

}  // namespace edgepose
