// The runner's exit codes (see ../PROTOCOL.md) and the exception that carries one.
#pragma once

#include <string>
#include <utility>

namespace edgepose {

enum ExitCode {
    kBadPlan = 10,
    kCorruptFile = 11,
    kRuntimeMissing = 12,
    kLoadFailed = 13,
    kProofFailed = 14,
    kInferenceFailed = 15,
};

// Ends a run with `code` and one sentence.
struct Failure {
    ExitCode code;
    std::string message;

    Failure(ExitCode code, std::string message) : code(code), message(std::move(message)) {}
};

}  // namespace edgepose
