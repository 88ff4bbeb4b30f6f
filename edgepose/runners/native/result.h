// The lines of a result: into result.jsonl, or kept in memory for a bundle started by hand.
#pragma once

#include <cstdio>
#include <string>

#include "json.h"
#include "sha256.h"

namespace edgepose {

// Append-only lines, flushed one by one, so that a killed run shows how far it came.
class ResultFile {
public:
    explicit ResultFile(const std::string& folder);  // throws Failure(kBadPlan)
    ~ResultFile();
    ResultFile(const ResultFile&) = delete;
    ResultFile& operator=(const ResultFile&) = delete;

    void write(const std::string& kind, JsonObject fields);

    // Adds the footer: only now is the file a result.
    void finish();

private:
    void put(const std::string& line);

    FILE* file_;
    Sha256 hash_;
    int lines_ = 0;
};

}  // namespace edgepose
