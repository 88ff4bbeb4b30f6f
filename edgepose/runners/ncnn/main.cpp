// The ncnn runner: one static executable, for phones and boards alike.

#include "../native/runner.h"
#include "backend.h"

int main(int argc, char** argv) {
    return edgepose::runner_main(argc, argv, "ncnn", edgepose::load_ncnn);
}
