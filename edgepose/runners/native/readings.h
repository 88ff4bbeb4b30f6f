// What the device's sensors say now. What it does not let us read is left out, never guessed.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "json.h"

namespace edgepose {

struct Reading {
    std::map<std::string, double> temperatures_c;  // by zone
    std::map<std::string, double> clocks_mhz;      // by core
    std::optional<std::string> throttled;          // the Raspberry Pi firmware's bits ("0x0")

    bool empty() const { return temperatures_c.empty() && clocks_mhz.empty() && !throttled; }
};

// Without `throttle_bits_too` the firmware's tool is not asked: starting it costs milliseconds.
Reading read_sensors(bool throttle_bits_too);

// Adds the three fields under their names.
void add_reading(JsonObject& object, const Reading& reading);

}  // namespace edgepose
