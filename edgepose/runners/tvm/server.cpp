// `server FOLDER`: measures candidates for a tuner. TVM's RPC stream is its standard input and
// output, so that it needs no port: whoever opened the channel to this board talks to it.
//
// FOLDER/server.json: `libraries` (name -> path), `threads`, `cpus` (a list, or null for any).
// What the tuner uploads lies in FOLDER/work, which is removed at the end.

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <exception>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "../native/cpu.h"
#include "../native/failure.h"
#include "../native/files.h"
#include "../native/json.h"
#include "../native/readings.h"
#include "ffi.h"

namespace edgepose {

namespace {

using namespace tvm;

constexpr int kMostThreads = 1024;
constexpr auto kGrace = std::chrono::seconds(10);  // a small board under load is slow
constexpr size_t kBlock = 1 << 16;  // as much as a pipe holds

struct Settings {
    std::string ffi_library;
    std::string runtime_library;
    int threads = 1;
    std::vector<int> cpus;
};

Settings read_settings(const Json& json) {
    Settings settings;
    settings.ffi_library = json.at("libraries").at("libtvm_ffi.so").string();
    settings.runtime_library = json.at("libraries").at("libtvm_runtime.so").string();
    settings.threads = json.at("threads").integer(1, kMostThreads);
    if (!json.at("cpus").is_null()) {
        for (const Json& cpu : json.at("cpus").array()) settings.cpus.push_back(cpu.integer());
    }
    return settings;
}

Settings read_settings(const std::string& path) {
    const auto text = read_text(path);
    if (!text) throw Failure(kBadPlan, path + " cannot be read");
    try {
        return read_settings(Json::parse(*text));
    } catch (const Failure& failure) {
        throw Failure(kBadPlan, path + ": " + failure.message);
    }
}

void remove_folder(const std::string& folder) {
    std::error_code ignored;
    std::filesystem::remove_all(folder, ignored);
}

// Ends the process when the tuner is gone, though a candidate may still run, for ever perhaps.
// A tuner that takes its leave in order gets the time to be served.
void end_with_the_stream(int in, int out, std::string work) {
    pollfd ends[] = {{in, POLLRDHUP, 0}, {out, 0, 0}};
    while (poll(ends, 2, -1) <= 0) {}
    std::this_thread::sleep_for(kGrace);
    remove_folder(work);
    _exit(kInferenceFailed);
}

ssize_t write_all(int out, const std::string& bytes) {
    size_t done = 0;
    while (done < bytes.size()) {
        const ssize_t size = write(out, bytes.data() + done, bytes.size() - done);
        if (size < 0 && errno != EINTR) return -1;
        if (size > 0) done += size;
    }
    return static_cast<ssize_t>(done);
}

// At least one byte and at most `most`; nothing at the end of the stream.
std::string read_some(int in, size_t most) {
    std::string bytes(std::min(most, kBlock), '\0');
    ssize_t size;
    do {
        size = read(in, bytes.data(), bytes.size());
    } while (size < 0 && errno == EINTR);
    if (size < 0) throw Failure(kInferenceFailed, std::string("the stream: ") + strerror(errno));
    bytes.resize(size);
    return bytes;
}

// The path of an uploaded file: in the folder of work, whatever the tuner says.
std::string path_in(const std::string& work, const std::string& name) {
    if (name.empty() || name[0] == '.' || name.find('/') != std::string::npos) {
        throw Failure(kInferenceFailed, "'" + name + "' is no name of a file here");
    }
    return work + "/" + name;
}

std::string health() {
    JsonObject object;
    add_reading(object, read_sensors(true));
    return object.text();
}

// What TVM's client asks a server for, and what our tuner asks for besides.
void offer_functions(const std::string& work) {
    set_global_function("tvm.rpc.server.workpath",
                        function_value([work](const TVMFFIAny* arguments, int) {
                            return text_value(path_in(work, text_of(arguments[0])));
                        }));
    set_global_function("tvm.rpc.server.load_module",
                        function_value([work](const TVMFFIAny* arguments, int) {
                            return load_module(path_in(work, text_of(arguments[0])));
                        }));
    set_global_function("edgepose.health", function_value([](const TVMFFIAny*, int) {
                            return text_value(health());
                        }));
}

void serve(int in, int out) {
    const Value send = function_value([out](const TVMFFIAny* arguments, int) {
        return number_value(write_all(out, text_of(arguments[0])));
    });
    const Value receive = function_value([in](const TVMFFIAny* arguments, int) {
        return bytes_value(read_some(in, static_cast<size_t>(number_of(arguments[0]))));
    });
    call(global_function("rpc.ServerLoop"), {argument(send), argument(receive)});
}

void run(const std::string& folder) {
    signal(SIGPIPE, SIG_IGN);
    // The stream is ours alone: whatever else is printed goes to standard error.
    const int in = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
    const int out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    dup2(STDERR_FILENO, STDOUT_FILENO);
    dup2(open("/dev/null", O_RDONLY | O_CLOEXEC), STDIN_FILENO);

    const Settings settings = read_settings(folder + "/server.json");
    const std::string work = folder + "/work";
    std::filesystem::create_directories(work);
    pin_to(settings.cpus);
    open_runtime(settings.ffi_library, settings.runtime_library, settings.threads);
    offer_functions(work);
    // Not before: a stream without a byte, which only asks whether we start, is served to its end
    // however long the libraries took.
    std::thread(end_with_the_stream, in, out, work).detach();
    serve(in, out);
    remove_folder(work);
}

}  // namespace

}  // namespace edgepose

int main(int argc, char** argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 2;
    }
    try {
        edgepose::run(argv[1]);
        return 0;
    } catch (const edgepose::Failure& failure) {
        fprintf(stderr, "%s\n", failure.message.c_str());
        return failure.code;
    } catch (const std::exception& error) {
        fprintf(stderr, "%s\n", error.what());
        return edgepose::kInferenceFailed;
    }
}
