// A bundle that somebody carried to a board, started with its folder as the argument.
#pragma once

#include <string>

#include "backend.h"

namespace edgepose {

// Proves and times it with the protocol of the papers, and prints both. Returns the exit code;
// throws Failure.
int run_by_hand(const std::string& bundle, const char* engine, LoadBackend load);

}  // namespace edgepose
