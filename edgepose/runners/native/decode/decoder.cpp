#include "decoder.h"

#include <cmath>
#include <initializer_list>

#include "../failure.h"
#include "../golden.h"
#include "associative.h"
#include "simcc.h"

namespace edgepose {

namespace {

constexpr int kAny = -1;
constexpr int kMostPixels = 1 << 14;  // a side of an input; and more key points than any net has
constexpr int kWidestBlur = 255;

bool fits(const Tensor& tensor, std::initializer_list<int> wanted) {
    if (tensor.shape.size() != wanted.size() || tensor.values.empty()) return false;
    const int* size = tensor.shape.data();
    for (int want : wanted) {
        if (want != kAny && want != *size) return false;
        ++size;
    }
    return true;
}

int nearest(double value) { return static_cast<int>(std::nearbyint(value)); }

}  // namespace

Decode::Decode(const Json& json) {
    const Json& input = json.at("input");
    input_ = {input.at("height").integer(1, kMostPixels), input.at("width").integer(1, kMostPixels)};
    keypoints_ = json.at("keypoints").integer(0, kMostPixels);
    const std::string& kind = json.at("kind").string();
    if (kind == "simcc") {
        kind_ = Kind::kSimcc;
        split_ = json.at("split").number();
        if (!(split_ > 0)) throw Failure(kBadPlan, "the decoder's `split` is not above 0");
    } else if (kind == "heatmap") {
        kind_ = Kind::kHeatmap;
        refine_ = refine_named(json.at("refine").string());
        blur_kernel_ = json.at("blur_kernel").integer(1, kWidestBlur);
        if (blur_kernel_ % 2 == 0) throw Failure(kBadPlan, "the decoder's `blur_kernel` is even");
    } else if (kind == "rtmdet") {
        kind_ = Kind::kRTMDet;
        rtmdet_.score_threshold = json.at("score_threshold").number();
        rtmdet_.nms_iou = json.at("nms_iou").number();
        rtmdet_.is_fused = json.at("layout").string() == "fused";
        for (const Json& stride : json.at("strides").array()) {
            rtmdet_.strides.push_back(stride.integer(1, kMostPixels));
        }
    } else if (kind == "associative") {
        kind_ = Kind::kAssociative;
        grouping_.least_peak = static_cast<float>(json.at("detection_threshold").number());
        grouping_.tag_reach = json.at("tag_threshold").number();
        grouping_.most_people = json.at("max_people").integer(1, kMostPixels);
    } else {
        throw Failure(kBadPlan, "this runner has no decoder '" + kind + "'");
    }
}

Decoded Decode::operator()(const Outputs& outputs) const {
    check(outputs);
    Decoded decoded;
    switch (kind_) {
        case Kind::kSimcc: return one_person(decode_simcc(*outputs[0], *outputs[1], split_));
        case Kind::kHeatmap:
            return one_person(decode_heatmaps(*outputs[0], input_, refine_, blur_kernel_));
        case Kind::kRTMDet:
            decoded.is_detection = true;
            decoded.boxes = decode_rtmdet(outputs, rtmdet_, input_);
            break;
        case Kind::kAssociative:
            decoded.people = decode_associative(*outputs[0], *outputs[1], input_, grouping_);
            break;
    }
    return decoded;
}

void Decode::check(const Outputs& outputs) const {
    const int count = int(outputs.size()), k = keypoints_;
    bool is_fine = false;
    switch (kind_) {
        case Kind::kSimcc:
            is_fine = count == 2 && k && fits(*outputs[0], {1, k, nearest(input_.width * split_)}) &&
                      fits(*outputs[1], {1, k, nearest(input_.height * split_)});
            break;
        case Kind::kHeatmap: is_fine = count == 1 && k && fits(*outputs[0], {1, k, kAny, kAny}); break;
        case Kind::kRTMDet: is_fine = fits_rtmdet(outputs); break;
        case Kind::kAssociative:
            is_fine = count == 2 && k && fits(*outputs[0], {1, 2 * k, kAny, kAny}) &&
                      fits(*outputs[1], {1, k, 2 * outputs[0]->shape[2], 2 * outputs[0]->shape[3]});
            break;
    }
    if (is_fine) return;
    std::string shapes;
    for (const Tensor* output : outputs) {
        shapes += " [";
        for (int size : output->shape) shapes += " " + std::to_string(size);
        shapes += " ]";
    }
    throw Failure(kBadPlan, "the plan's decoder cannot read outputs of the shapes" + shapes);
}

bool Decode::fits_rtmdet(const Outputs& outputs) const {
    const size_t levels = rtmdet_.strides.size();
    if (outputs.size() != (rtmdet_.is_fused ? 1 : 2) * levels) return false;
    for (size_t i = 0; i < outputs.size(); ++i) {
        const int stride = rtmdet_.strides[i % levels];
        const int rows = (input_.height + stride - 1) / stride;
        const int columns = (input_.width + stride - 1) / stride;
        const Tensor& output = *outputs[i];
        const bool is_fine = rtmdet_.is_fused
                                 ? fits(output, {1, rows, columns, kAny}) && output.shape[3] > 4
                                 : fits(output, {1, i < levels ? kAny : 4, rows, columns});
        if (!is_fine) return false;
    }
    return true;
}

Outputs ordered_outputs(const Tensors& outputs, const std::vector<TensorSpec>& specs) {
    Outputs ordered;
    for (const TensorSpec& spec : specs) ordered.push_back(&output_of(outputs, spec.name));
    return ordered;
}

}  // namespace edgepose
