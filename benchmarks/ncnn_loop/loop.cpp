// The loop of ncnn's benchmark tool (benchmark/benchncnn.cpp), for a net with real weights.
//
//   loop PARAM BIN INPUT.f32 WIDTH HEIGHT CHANNELS THREADS WARMUP LOOPS OUTPUTS.f32 NAME=0|1...
//
// Kept from that tool: pool allocators with its size ratios, light mode, no dynamic OpenMP, warm-up,
// then per loop one new extractor between two clock reads; min, max and avg on stderr. Different on
// purpose: weights and input are real, every output is extracted (its tool takes the first only),
// options are the recipe's (NAME as in ncnn::Option without "use_"), every latency is printed in ns
// on stdout, and the last outputs are written, so that the caller can see that the net was right.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "allocator.h"
#include "cpu.h"
#include "net.h"

namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void fail(const std::string& what)
{
    std::fprintf(stderr, "ncnn_loop: %s\n", what.c_str());
    std::exit(1);
}

void set_option(ncnn::Option& opt, const char* word)
{
    const struct { const char* name; bool* flag; } known[] = {
        {"packing_layout", &opt.use_packing_layout},
        {"fp16_packed", &opt.use_fp16_packed},
        {"fp16_storage", &opt.use_fp16_storage},
        {"fp16_arithmetic", &opt.use_fp16_arithmetic},
        {"bf16_storage", &opt.use_bf16_storage},
        {"winograd_convolution", &opt.use_winograd_convolution},
        {"sgemm_convolution", &opt.use_sgemm_convolution},
    };
    for (const auto& one : known)
    {
        const size_t length = std::strlen(one.name);
        if (std::strncmp(word, one.name, length) == 0 && word[length] == '=')
        {
            *one.flag = word[length + 1] == '1';
            return;
        }
    }
    fail(std::string("unknown option ") + word);
}

ncnn::Mat read_input(const char* path, int width, int height, int channels)
{
    ncnn::Mat in(width, height, channels);
    std::FILE* file = std::fopen(path, "rb");
    if (!file)
        fail(std::string("cannot open ") + path);
    const size_t plane = static_cast<size_t>(width) * height;
    for (int c = 0; c < channels; c++)
        if (std::fread(in.channel(c), sizeof(float), plane, file) != plane)
            fail(std::string("too short: ") + path);
    std::fclose(file);
    return in;
}

std::vector<ncnn::Mat> infer(const ncnn::Net& net, const ncnn::Mat& in)
{
    std::vector<ncnn::Mat> outs(net.output_names().size());
    ncnn::Extractor ex = net.create_extractor();
    ex.input(net.input_names()[0], in);
    for (size_t i = 0; i < outs.size(); i++)
        if (ex.extract(net.output_names()[i], outs[i]))
            fail("an inference failed");
    return outs;
}

void write_outputs(const char* path, const std::vector<ncnn::Mat>& outs)
{
    std::FILE* file = std::fopen(path, "wb");
    if (!file)
        fail(std::string("cannot write ") + path);
    for (const ncnn::Mat& out : outs)
        for (int c = 0; c < out.c; c++) // planes are padded in memory, not in the file
            std::fwrite(out.channel(c), sizeof(float), static_cast<size_t>(out.w) * out.h * out.d, file);
    if (std::fclose(file))
        fail(std::string("cannot write ") + path);
}

} // namespace

int main(int argc, char** argv)
{
    if (argc < 11)
        fail("usage: see the top of loop.cpp");
    const int threads = std::atoi(argv[7]), warmup = std::atoi(argv[8]), loops = std::atoi(argv[9]);

    ncnn::UnlockedPoolAllocator blobs;
    ncnn::PoolAllocator workspace;
    blobs.set_size_compare_ratio(0.0f);
    workspace.set_size_compare_ratio(0.5f);
    std::vector<long long> latencies(loops);
    {
        const ncnn::Mat in = read_input(argv[3], std::atoi(argv[4]), std::atoi(argv[5]), std::atoi(argv[6]));
        ncnn::Net net;
        net.opt.lightmode = true;
        net.opt.num_threads = threads;
        net.opt.blob_allocator = &blobs;
        net.opt.workspace_allocator = &workspace;
        for (int i = 11; i < argc; i++)
            set_option(net.opt, argv[i]);
        ncnn::set_omp_dynamic(0);
        ncnn::set_omp_num_threads(threads);
        if (net.load_param(argv[1]) || net.load_model(argv[2]))
            fail("the net does not load");

        std::vector<ncnn::Mat> outs;
        for (int i = 0; i < warmup; i++)
            outs = infer(net, in);
        for (int i = 0; i < loops; i++)
        {
            const Clock::time_point start = Clock::now();
            outs = infer(net, in);
            const auto elapsed = Clock::now() - start;
            latencies[i] = std::chrono::duration_cast<std::chrono::nanoseconds>(elapsed).count();
        }
        write_outputs(argv[10], outs);
    }
    double total = 0;
    for (long long ns : latencies)
    {
        std::printf("%lld\n", ns);
        total += ns;
    }
    const auto ends = std::minmax_element(latencies.begin(), latencies.end());
    std::fprintf(stderr, "min = %7.2f  max = %7.2f  avg = %7.2f\n", *ends.first / 1e6, *ends.second / 1e6,
                 total / loops / 1e6);
    return 0;
}
