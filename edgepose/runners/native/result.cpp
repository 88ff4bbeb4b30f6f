#include "result.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "failure.h"

namespace edgepose {

ResultFile::ResultFile(const std::string& folder) {
    const std::string path = folder + "/result.jsonl";
    file_ = fopen(path.c_str(), "wb");
    if (!file_) throw Failure(kBadPlan, path + " cannot be written: " + strerror(errno));
}

ResultFile::~ResultFile() { fclose(file_); }

void ResultFile::write(const std::string& kind, JsonObject fields) {
    const std::string line = fields.add("kind", kind).text() + "\n";
    put(line);
    hash_.update(line.data(), line.size());
    ++lines_;
}

void ResultFile::finish() {
    JsonObject footer;
    footer.add("kind", "footer").add("lines", lines_).add("sha256", hash_.hex_digest());
    put(footer.text() + "\n");
    fsync(fileno(file_));
}

void ResultFile::put(const std::string& line) {
    if (fwrite(line.data(), 1, line.size(), file_) != line.size() || fflush(file_) != 0) {
        throw Failure(kInferenceFailed,
                      std::string("result.jsonl cannot be written: ") + strerror(errno));
    }
}

}  // namespace edgepose
