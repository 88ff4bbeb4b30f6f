// As much JSON as plans and results need: values that are read, and text that is written.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace edgepose {

// A parsed value. Reading the wrong kind, or a key that is not there, throws Failure(kBadPlan).
class Json {
public:
    enum class Kind { kNull, kBool, kNumber, kString, kArray, kObject };

    static Json parse(const std::string& text);

    Kind kind() const { return kind_; }
    bool is_null() const { return kind_ == Kind::kNull; }
    bool has(const std::string& key) const;

    bool boolean() const;
    double number() const;
    int integer() const;
    int integer(int least, int most) const;
    const std::string& string() const;
    const std::vector<Json>& array() const;
    const std::map<std::string, Json>& object() const;
    const Json& at(const std::string& key) const;

private:
    friend class JsonReader;

    Kind kind_ = Kind::kNull;
    bool bool_ = false;
    double number_ = 0;
    std::string string_;
    std::vector<Json> array_;
    std::map<std::string, Json> object_;
};

// Builds one object as text, its keys in the order in which they are added.
class JsonObject {
public:
    JsonObject& add(const std::string& key, const std::string& value);
    JsonObject& add(const std::string& key, const char* value);
    JsonObject& add(const std::string& key, bool value);
    JsonObject& add(const std::string& key, double value);  // not finite: null
    JsonObject& add(const std::string& key, int64_t value);
    JsonObject& add(const std::string& key, int value);
    JsonObject& add(const std::string& key, const std::vector<int64_t>& values);
    JsonObject& add(const std::string& key, const std::vector<int>& values);
    JsonObject& add(const std::string& key, const std::map<std::string, std::string>& values);
    JsonObject& add(const std::string& key, const std::map<std::string, double>& values);
    JsonObject& add_null(const std::string& key);
    JsonObject& add_raw(const std::string& key, const std::string& json);

    std::string text() const { return "{" + body_ + "}"; }

private:
    std::string body_;
};

// With its quotes. What is not UTF-8 in `text` (a file's name, say) becomes a question mark.
std::string quote_json(const std::string& text);

}  // namespace edgepose
