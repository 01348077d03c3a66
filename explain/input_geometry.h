// How a photograph becomes the model's input: the size it is resized to and the window cut from it
// (SPEC section 9, "Size"). Pixels are not touched here: kernels/resample.h does that.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "explain/image.h"
#include "model/config.h"

namespace vitsnna::explain {

/// No side of a picture that goes into a model, and no picture in pixels, is larger than this.
inline constexpr index_t kMaxInputSide = 65535;
inline constexpr index_t kMaxInputPixels = index_t{1} << 27;

/// The share of the resized short side that the default crop keeps where the checkpoint says
/// nothing: all of it, so that no part of the picture is cut for a reason that nobody gave.
inline constexpr double kDefaultCropPct = 1;

/// `--size` and `--crop`. What is absent is decided by the model.
struct SizeOptions {
  std::optional<Extent> size;         ///< HxW: exactly this, whatever the picture's proportions
  std::optional<index_t> short_side;  ///< short:N: the short side; never together with `size`
  std::optional<Extent> crop;         ///< the centre of the resized picture
};

struct InputGeometry {
  Extent resized;  ///< what the whole picture is resized to
  index_t crop_top = 0, crop_left = 0;
  Extent crop;  ///< the model's input: a multiple of the patch in both directions
  /// Rows at the bottom and columns at the right left out because the patch does not divide.
  index_t dropped_rows = 0, dropped_columns = 0;

  /// One sentence about the dropped rows and columns, or empty where there are none.
  std::string note() const;
};

/// Reads "360x640" or "short:360" into `options`; throws Error naming --size.
void parse_size(std::string_view text, SizeOptions& options);
/// Reads "224" (a square) or "360x640" into `options`; throws Error naming --crop.
void parse_crop(std::string_view text, SizeOptions& options);

/// round(numerator / denominator) with halves to the even neighbour, exactly; both positive.
index_t round_half_even(index_t numerator, index_t denominator);

/// The default size is metadata's input_size, else trained grid x patch. A square model resizes the
/// short side to round(size / crop_pct) and crops the centre square; any other resizes to its size.
/// `--size` replaces the whole of it, `--crop` alone replaces its crop only. `subject` names the
/// picture in errors: a crop larger than the resized picture, an input smaller than one patch.
InputGeometry input_geometry(const std::string& subject, Extent picture, const SizeOptions& options,
                             const model::VitConfig& config, const model::ModelMetadata& metadata);

}  // namespace vitsnna::explain
