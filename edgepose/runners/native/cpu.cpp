#include "cpu.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <optional>

#include "files.h"

#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

namespace edgepose {

namespace {

std::optional<double> speed_of(int core) {
    const std::string folder = "/sys/devices/system/cpu/cpu" + std::to_string(core);
    std::optional<double> capacity = read_number(folder + "/cpu_capacity");
    return capacity ? capacity : read_number(folder + "/cpufreq/cpuinfo_max_freq");
}

bool set_affinity(const std::vector<int>& cores) {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (int core : cores) CPU_SET(core, &set);
    return !cores.empty() && sched_setaffinity(0, sizeof set, &set) == 0;
}

}  // namespace

std::vector<int> usable_cores() {
    cpu_set_t set;
    CPU_ZERO(&set);
    std::vector<int> cores;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return cores;
    for (int core = 0; core < CPU_SETSIZE; ++core) {
        if (CPU_ISSET(core, &set)) cores.push_back(core);
    }
    return cores;
}

std::vector<int> big_cores() {
    const std::vector<int> all = usable_cores();
    double fastest = 0;
    for (int core : all) fastest = std::max(fastest, speed_of(core).value_or(0));
    std::vector<int> big;
    for (int core : all) {
        if (speed_of(core).value_or(0) == fastest) big.push_back(core);
    }
    return big;
}

std::vector<int> pin_to(const std::vector<int>& cores) {
    const std::vector<int> usable = usable_cores();
    std::vector<int> chosen;
    for (int core : usable) {
        if (std::find(cores.begin(), cores.end(), core) != cores.end()) chosen.push_back(core);
    }
    return set_affinity(chosen) ? chosen : std::vector<int>();
}

void stay_off(const std::vector<int>& cores) {
    std::vector<int> others;
    for (int core = 0; core < static_cast<int>(sysconf(_SC_NPROCESSORS_CONF)); ++core) {
        if (std::find(cores.begin(), cores.end(), core) == cores.end()) others.push_back(core);
    }
    if (!cores.empty()) set_affinity(others);  // may fail: none of them need be ours
}

std::vector<std::string> cpu_features() {
    std::vector<std::string> found;
#if defined(__aarch64__)
    // Bits of the kernel's arm64 ABI: written out, as older headers lack the newer names.
    const unsigned long first = getauxval(AT_HWCAP), second = getauxval(AT_HWCAP2);
    if (first & 1UL << 10) found.push_back("asimdhp");
    if (first & 1UL << 20) found.push_back("asimddp");
    if (first & 1UL << 22) found.push_back("sve");
    if (second & 1UL << 13) found.push_back("i8mm");
    if (second & 1UL << 14) found.push_back("bf16");
#elif defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) found.push_back("avx2");
    if (__builtin_cpu_supports("fma")) found.push_back("fma");
    if (__builtin_cpu_supports("avx512f")) found.push_back("avx512f");
    if (__builtin_cpu_supports("avx512vnni")) found.push_back("avx512vnni");
#endif
    return found;
}

}  // namespace edgepose
