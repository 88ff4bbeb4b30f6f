#include "files.h"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <memory>

namespace edgepose {

bool file_exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

std::optional<std::string> read_text(const std::string& path) {
    std::unique_ptr<FILE, int (*)(FILE*)> file(fopen(path.c_str(), "rb"), fclose);
    if (!file) return std::nullopt;
    std::string text;
    char block[4096];
    while (size_t size = fread(block, 1, sizeof block, file.get())) text.append(block, size);
    if (ferror(file.get())) return std::nullopt;
    return text;
}

std::optional<std::string> read_line(const std::string& path) {
    std::optional<std::string> text = read_text(path);
    if (text) text->resize(std::min(text->find('\n'), text->size()));
    return text;
}

std::optional<double> read_number(const std::string& path) {
    std::optional<std::string> line = read_line(path);
    if (!line) return std::nullopt;
    char* after = nullptr;
    double value = strtod(line->c_str(), &after);
    if (after == line->c_str()) return std::nullopt;
    return value;
}

std::vector<std::string> numbered_entries(const std::string& folder, const std::string& prefix) {
    std::vector<std::string> names;
    std::unique_ptr<DIR, int (*)(DIR*)> open(opendir(folder.c_str()), closedir);
    if (!open) return names;
    while (const dirent* entry = readdir(open.get())) {
        std::string name = entry->d_name;
        bool numbered = name.size() > prefix.size() && name.compare(0, prefix.size(), prefix) == 0 &&
                        isdigit(static_cast<unsigned char>(name[prefix.size()]));
        if (numbered) names.push_back(name);
    }
    std::sort(names.begin(), names.end());
    return names;
}

}  // namespace edgepose
