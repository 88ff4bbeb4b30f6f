// The net's input, in pixels.
#pragma once

namespace edgepose {

struct InputSize {
    int height;
    int width;
};

}  // namespace edgepose
