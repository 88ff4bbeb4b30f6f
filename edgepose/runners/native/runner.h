// A runner's main program: `runner RUN_FOLDER | BUNDLE_FOLDER` (see ../PROTOCOL.md).
#pragma once

#include "backend.h"

namespace edgepose {

// Returns the exit code. `engine` is the one that `load` knows.
int runner_main(int argc, char** argv, const char* engine, LoadBackend load);

}  // namespace edgepose
