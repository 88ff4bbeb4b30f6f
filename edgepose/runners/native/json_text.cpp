// The writing half of json.h.
#include <cmath>
#include <cstdio>

#include "json.h"

namespace edgepose {

namespace {

// Bytes of the character at `at`; 0 where there is none in UTF-8.
size_t utf8_length(const std::string& text, size_t at) {
    const auto byte = [&](size_t i) -> unsigned {
        return i < text.size() ? static_cast<unsigned char>(text[i]) : 0;
    };
    const unsigned first = byte(at);
    if (first < 0x80) return 1;
    const size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (first < 0xC2 || first > 0xF4) return 0;
    for (size_t i = 1; i < length; ++i) {
        if ((byte(at + i) & 0xC0) != 0x80) return 0;
    }
    const unsigned second = byte(at + 1);
    const bool overlong = (first == 0xE0 && second < 0xA0) || (first == 0xF0 && second < 0x90);
    const bool beyond = (first == 0xED && second > 0x9F) || (first == 0xF4 && second > 0x8F);
    return overlong || beyond ? 0 : length;
}

std::string number_text(double value) {
    char buffer[32];
    snprintf(buffer, sizeof buffer, "%.17g", value);
    return buffer;
}

}  // namespace

std::string quote_json(const std::string& text) {
    std::string out = "\"";
    for (size_t at = 0; at < text.size();) {
        const unsigned char c = text[at];
        const size_t length = utf8_length(text, at);
        if (length == 0) {
            out += '?';
        } else if (c == '"' || c == '\\') {
            out += '\\';
            out += static_cast<char>(c);
        } else if (c < 0x20) {
            char buffer[8];
            snprintf(buffer, sizeof buffer, "\\u%04x", c);
            out += buffer;
        } else {
            out.append(text, at, length);
        }
        at += length ? length : 1;
    }
    return out + "\"";
}

JsonObject& JsonObject::add_raw(const std::string& key, const std::string& json) {
    if (!body_.empty()) body_ += ", ";
    body_ += quote_json(key) + ": " + json;
    return *this;
}

JsonObject& JsonObject::add(const std::string& key, const std::string& value) {
    return add_raw(key, quote_json(value));
}

JsonObject& JsonObject::add(const std::string& key, const char* value) {
    return add(key, std::string(value));
}

JsonObject& JsonObject::add(const std::string& key, bool value) {
    return add_raw(key, value ? "true" : "false");
}

JsonObject& JsonObject::add(const std::string& key, double value) {
    return std::isfinite(value) ? add_raw(key, number_text(value)) : add_null(key);
}

JsonObject& JsonObject::add(const std::string& key, int64_t value) {
    return add_raw(key, std::to_string(value));
}

JsonObject& JsonObject::add(const std::string& key, int value) {
    return add_raw(key, std::to_string(value));
}

JsonObject& JsonObject::add(const std::string& key, const std::vector<int64_t>& values) {
    std::string list;
    for (int64_t value : values) list += (list.empty() ? "" : ", ") + std::to_string(value);
    return add_raw(key, "[" + list + "]");
}

JsonObject& JsonObject::add(const std::string& key, const std::vector<int>& values) {
    return add(key, std::vector<int64_t>(values.begin(), values.end()));
}

JsonObject& JsonObject::add(
    const std::string& key, const std::map<std::string, std::string>& values) {
    JsonObject inner;
    for (const auto& [name, value] : values) inner.add(name, value);
    return add_raw(key, inner.text());
}

JsonObject& JsonObject::add(const std::string& key, const std::map<std::string, double>& values) {
    JsonObject inner;
    for (const auto& [name, value] : values) inner.add(name, value);
    return add_raw(key, inner.text());
}

JsonObject& JsonObject::add_null(const std::string& key) { return add_raw(key, "null"); }

}  // namespace edgepose
