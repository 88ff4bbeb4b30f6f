// A plugin for qemu-user that counts the arm64 instructions that a program executes, by kind.
//
// `-plugin libcount.so,out=FILE`: at the end FILE holds the numbers of all, of vector and of
// memory instructions, a line each.
// Declared here is what of QEMU's interface (version 3, QEMU 9.1) it uses: no header is needed.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <fstream>
#include <mutex>
#include <string>

extern "C" {
struct qemu_plugin_tb;
struct qemu_plugin_insn;
using PluginId = std::uint64_t;
enum Registers { kNoRegisters = 0 };

size_t qemu_plugin_tb_n_insns(const qemu_plugin_tb* block);
qemu_plugin_insn* qemu_plugin_tb_get_insn(const qemu_plugin_tb* block, size_t index);
size_t qemu_plugin_insn_data(const qemu_plugin_insn* instruction, void* into, size_t size);
void qemu_plugin_register_vcpu_tb_trans_cb(PluginId id, void (*)(PluginId, qemu_plugin_tb*));
void qemu_plugin_register_vcpu_tb_exec_cb(
    qemu_plugin_tb* block, void (*)(unsigned int, void*), Registers, void* user_data);
void qemu_plugin_register_atexit_cb(PluginId id, void (*)(PluginId, void*), void* user_data);

__attribute__((visibility("default"))) int qemu_plugin_version = 3;
}

namespace {

// A translated block: how many instructions of each kind it has, and how often it was executed.
struct Block {
    std::uint64_t all = 0;
    std::uint64_t vector = 0;
    std::uint64_t memory = 0;
    std::atomic<std::uint64_t> executions{0};
};

std::string out_path;
std::mutex blocks_mutex;
std::deque<Block> blocks;  // where they stand, they stay

// Top-level groups of the encoding (Arm's manual, C4.1): bits 28 to 25.
bool is_memory(std::uint32_t word) { return (word >> 27 & 1) == 1 && (word >> 25 & 1) == 0; }

// "Advanced SIMD" proper, without scalar floating point, which shares its group.
bool is_vector(std::uint32_t word) {
    return (word >> 25 & 7) == 7 && (word >> 28 & 1) == 0 && word >> 31 == 0;
}

void count(unsigned int, void* block) {
    static_cast<Block*>(block)->executions.fetch_add(1, std::memory_order_relaxed);
}

void translate(PluginId, qemu_plugin_tb* translated) {
    Block* block = nullptr;
    {
        const std::lock_guard<std::mutex> lock(blocks_mutex);
        block = &blocks.emplace_back();
    }
    block->all = qemu_plugin_tb_n_insns(translated);
    for (size_t n = 0; n < block->all; ++n) {
        std::uint32_t word = 0;
        qemu_plugin_insn_data(qemu_plugin_tb_get_insn(translated, n), &word, sizeof word);
        block->vector += is_vector(word);
        block->memory += is_memory(word);
    }
    qemu_plugin_register_vcpu_tb_exec_cb(translated, count, kNoRegisters, block);
}

void write_sums(PluginId, void*) {
    std::uint64_t all = 0, vector = 0, memory = 0;
    for (const Block& block : blocks) {
        const std::uint64_t executions = block.executions.load();
        all += executions * block.all;
        vector += executions * block.vector;
        memory += executions * block.memory;
    }
    std::ofstream(out_path) << all << '\n' << vector << '\n' << memory << '\n';
}

}  // namespace

extern "C" __attribute__((visibility("default"))) int qemu_plugin_install(
    PluginId id, const void*, int argc, char** argv) {
    constexpr char kOut[] = "out=";
    for (int n = 0; n < argc; ++n) {
        if (std::strncmp(argv[n], kOut, sizeof kOut - 1) == 0) {
            out_path = argv[n] + sizeof kOut - 1;
        }
    }
    if (out_path.empty()) {
        std::fputs("the counting plugin needs out=FILE\n", stderr);
        return -1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
    qemu_plugin_register_atexit_cb(id, write_sums, nullptr);
    return 0;
}
