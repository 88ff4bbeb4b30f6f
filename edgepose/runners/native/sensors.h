// Temperatures, clocks and throttle bits beside a run, read by a process of its own.
// What the device does not let us read is left out, never guessed.
#pragma once

#include <string>
#include <vector>

namespace edgepose {

// `runner --sensors PATH PERIOD_S PARENT CORE...`: a reading every period, off the given cores,
// until the parent ends, or at once where there is nothing to read.
int sample_forever(const std::vector<std::string>& words);

// `sample_forever` in a child process.
class SensorProcess {
public:
    SensorProcess(const std::string& folder, double period_s, const std::vector<int>& avoid);
    ~SensorProcess();
    SensorProcess(const SensorProcess&) = delete;
    SensorProcess& operator=(const SensorProcess&) = delete;

    // Ends the child; one JSON object per reading.
    std::vector<std::string> stop();

private:
    std::string path_;
    int child_;
};

}  // namespace edgepose
