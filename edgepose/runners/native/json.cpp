#include "json.h"

#include <cctype>
#include <climits>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "failure.h"

namespace edgepose {

namespace {

constexpr int kDeepest = 64;  // a hostile file must not exhaust the stack

[[noreturn]] void bad(const std::string& what) { throw Failure(kBadPlan, "JSON: " + what); }

void append_utf8(std::string& out, unsigned code) {
    if (code < 0x80) {
        out += static_cast<char>(code);
    } else if (code < 0x800) {
        out += static_cast<char>(0xC0 | code >> 6);
        out += static_cast<char>(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
        out += static_cast<char>(0xE0 | code >> 12);
        out += static_cast<char>(0x80 | (code >> 6 & 0x3F));
        out += static_cast<char>(0x80 | (code & 0x3F));
    } else {
        out += static_cast<char>(0xF0 | code >> 18);
        out += static_cast<char>(0x80 | (code >> 12 & 0x3F));
        out += static_cast<char>(0x80 | (code >> 6 & 0x3F));
        out += static_cast<char>(0x80 | (code & 0x3F));
    }
}

}  // namespace

class JsonReader {
public:
    explicit JsonReader(const std::string& text) : at_(text.c_str()), end_(at_ + text.size()) {}

    Json document() {
        Json value = read(0);
        skip_space();
        if (at_ != end_) bad("something follows the value");
        return value;
    }

private:
    void skip_space() {
        while (at_ != end_ && strchr(" \t\r\n", *at_) && *at_) ++at_;
    }

    bool take(char wanted) {
        skip_space();
        if (at_ == end_ || *at_ != wanted) return false;
        ++at_;
        return true;
    }

    void expect(char wanted) {
        if (!take(wanted)) bad(std::string("'") + wanted + "' is missing");
    }

    bool take_word(const char* word) {
        size_t length = strlen(word);
        if (static_cast<size_t>(end_ - at_) < length || strncmp(at_, word, length) != 0) return false;
        at_ += length;
        return true;
    }

    Json read(int depth) {
        if (depth > kDeepest) bad("nested too deeply");
        skip_space();
        Json value;
        if (take('{')) {
            value.kind_ = Json::Kind::kObject;
            for (bool first = true; !take('}'); first = false) {
                if (!first) expect(',');
                skip_space();
                std::string key = read_string();
                expect(':');
                value.object_[key] = read(depth + 1);
            }
        } else if (take('[')) {
            value.kind_ = Json::Kind::kArray;
            for (bool first = true; !take(']'); first = false) {
                if (!first) expect(',');
                value.array_.push_back(read(depth + 1));
            }
        } else if (at_ != end_ && *at_ == '"') {
            value.kind_ = Json::Kind::kString;
            value.string_ = read_string();
        } else if (take_word("true")) {
            value.kind_ = Json::Kind::kBool;
            value.bool_ = true;
        } else if (take_word("false")) {
            value.kind_ = Json::Kind::kBool;
        } else if (!take_word("null")) {
            value.kind_ = Json::Kind::kNumber;
            value.number_ = read_number();
        }
        return value;
    }

    double read_number() {
        // strtod takes more than JSON has: hexadecimal, "inf", a leading plus.
        if (at_ == end_ || !strchr("-0123456789", *at_)) bad("a value is missing");
        char* after = nullptr;
        const double value = strtod(at_, &after);
        const size_t length = strspn(at_, "-+.0123456789eE");
        if (after == at_ || after != at_ + length) bad("a number is malformed");
        if (!std::isfinite(value)) bad("a number is too large");
        at_ = after;
        return value;
    }

    std::string read_string() {
        expect('"');
        std::string out;
        while (at_ != end_ && *at_ != '"') {
            if (*at_ != '\\') {
                out += *at_++;
                continue;
            }
            if (++at_ == end_) break;
            char escape = *at_++;
            if (escape == 'u') {
                append_utf8(out, read_code_point());
            } else {
                const char* plain = "\"\\/bfnrt";
                const char* found = strchr(plain, escape);
                if (!escape || !found) bad("unknown escape in a string");
                out += "\"\\/\b\f\n\r\t"[found - plain];
            }
        }
        if (at_ == end_) bad("a string has no end");
        ++at_;
        return out;
    }

    unsigned read_code_point() {
        const unsigned high = read_hex4();
        if (high < 0xD800 || high > 0xDFFF) return high;
        const bool pair = high < 0xDC00 && take_word("\\u");
        const unsigned low = pair ? read_hex4() : 0;
        if (low < 0xDC00 || low > 0xDFFF) bad("half of a character in a string");
        return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
    }

    unsigned read_hex4() {
        if (end_ - at_ < 4) bad("a string has no end");
        char digits[5] = {at_[0], at_[1], at_[2], at_[3], 0};
        char* after = nullptr;
        unsigned code = static_cast<unsigned>(strtoul(digits, &after, 16));
        if (after != digits + 4 || !isxdigit(static_cast<unsigned char>(digits[0]))) bad("unknown escape in a string");
        at_ += 4;
        return code;
    }

    const char* at_;
    const char* end_;
};

Json Json::parse(const std::string& text) { return JsonReader(text).document(); }

bool Json::has(const std::string& key) const { return object_.count(key) != 0; }

bool Json::boolean() const {
    if (kind_ != Kind::kBool) bad("true or false was expected");
    return bool_;
}

double Json::number() const {
    if (kind_ != Kind::kNumber) bad("a number was expected");
    return number_;
}

int Json::integer() const { return integer(INT_MIN, INT_MAX); }

int Json::integer(int least, int most) const {
    const double value = number();
    if (value < least || value > most || value != std::floor(value)) {
        bad("a whole number from " + std::to_string(least) + " to " + std::to_string(most) +
            " was expected");
    }
    return static_cast<int>(value);
}

const std::string& Json::string() const {
    if (kind_ != Kind::kString) bad("a string was expected");
    return string_;
}

const std::vector<Json>& Json::array() const {
    if (kind_ != Kind::kArray) bad("a list was expected");
    return array_;
}

const std::map<std::string, Json>& Json::object() const {
    if (kind_ != Kind::kObject) bad("an object was expected");
    return object_;
}

const Json& Json::at(const std::string& key) const {
    auto found = object().find(key);
    if (found == object_.end()) bad("the key '" + key + "' is missing");
    return found->second;
}

}  // namespace edgepose
