#include "runner.h"

#include <cstdio>
#include <exception>

#include "by_hand.h"
#include "failure.h"
#include "files.h"
#include "result.h"
#include "run.h"
#include "sensors.h"

namespace edgepose {

namespace {

// A failure becomes the result's last line and the exit code.
int run_folder(const std::string& folder, const char* engine, LoadBackend load) {
    ResultFile result(folder);
    int code = 0;
    std::string message;
    try {
        const Plan plan = read_plan(folder);
        check_engine(plan, engine);
        run_plan(plan, folder, result, load);
    } catch (const Failure& failure) {
        code = failure.code;
        message = failure.message;
    } catch (const std::exception& error) {  // of the standard library: no memory, above all
        code = kInferenceFailed;
        message = error.what();
    }
    if (code) {
        fprintf(stderr, "%s\n", message.c_str());
        result.write("error", JsonObject().add("code", code).add("message", message));
    }
    result.finish();
    return code;
}

}  // namespace

int runner_main(int argc, char** argv, const char* engine, LoadBackend load) {
    const std::vector<std::string> words(argv + 1, argv + argc);
    if (!words.empty() && words[0] == "--sensors") {
        return sample_forever({words.begin() + 1, words.end()});
    }
    if (words.size() != 1) {
        fprintf(stderr, "usage: %s RUN_FOLDER | BUNDLE_FOLDER\n", argv[0]);
        return 2;
    }
    try {
        if (file_exists(words[0] + "/plan.json")) return run_folder(words[0], engine, load);
        return run_by_hand(words[0], engine, load);
    } catch (const Failure& failure) {
        fprintf(stderr, "%s\n", failure.message.c_str());
        return failure.code;
    } catch (const std::exception& error) {
        fprintf(stderr, "%s\n", error.what());
        return kInferenceFailed;
    }
}

}  // namespace edgepose
