// Whose weight is it: the names of tensors in DINO, timm and Hugging Face files, brought to the one
// set of names that the model uses (DINO's and timm's, SPEC section 7).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/io/tensor_file.h"
#include "model/config.h"

namespace vitsnna::model {

/// Which network of a full DINO checkpoint.
enum class Part : std::uint8_t { teacher, student };
constexpr const char* name_of(Part part) { return part == Part::teacher ? "teacher" : "student"; }

/// Where one tensor of a file goes: a canonical name, whole or as one third of a fused qkv.
struct Destination {
  enum class Slice : std::uint8_t { whole, query, key, value };
  std::string canonical;
  Slice slice = Slice::whole;
};

/// What to do with every tensor of a file.
struct NamePlan {
  std::map<std::string, Destination> sources;  ///< by the name in the file
  std::vector<std::string> left_out;           ///< known to belong to training only
};

/// Decides by names alone, so that a reader need not touch what will be left out. Throws Error
/// naming `path` and the tensor: one that is neither a ViT's nor known, two for one place, and a
/// `part` that the file has not. Without `part` a full checkpoint gives its teacher.
NamePlan plan_names(const std::string& path, const std::vector<std::string>& names,
                    std::optional<Part> part);

/// Carries the plan out: separate query, key and value become one qkv, in this order. Throws Error
/// when one of the three is missing or they differ in shape.
std::map<std::string, engine::HostTensor> canonical_tensors(const engine::TensorFile& file,
                                                            const NamePlan& plan);

/// The canonical name and shape of every tensor of such a model, its head included if it has one.
std::map<std::string, std::vector<index_t>> canonical_shapes(const VitConfig& config);

}  // namespace vitsnna::model
