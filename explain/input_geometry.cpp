// Sizes and windows of inputs: integers and one division, rounded half to even.
#include "explain/input_geometry.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "kernels/error.h"

namespace vitsnna::explain {
namespace {

/// A whole positive number up to kMaxInputSide, and nothing beside it.
std::optional<index_t> parse_side(std::string_view text) {
  index_t value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (value < 1 || value > kMaxInputSide) return std::nullopt;
  return value;
}

std::optional<Extent> parse_extent(std::string_view text) {
  const std::size_t cross = text.find('x');
  if (cross == std::string_view::npos) return std::nullopt;
  const auto height = parse_side(text.substr(0, cross)), width = parse_side(text.substr(cross + 1));
  if (!height || !width) return std::nullopt;
  return Extent{*height, *width};
}

Extent with_short_side(Extent picture, index_t short_side) {
  if (picture.height <= picture.width) {
    return {short_side, round_half_even(picture.width * short_side, picture.height)};
  }
  return {round_half_even(picture.height * short_side, picture.width), short_side};
}

std::string text_of(Extent extent) { return fmt::format("{}x{}", extent.height, extent.width); }

}  // namespace

void parse_size(std::string_view text, SizeOptions& options) {
  constexpr std::string_view kShort = "short:";
  const bool is_short = text.substr(0, kShort.size()) == kShort;
  const auto size = is_short ? std::nullopt : parse_extent(text);
  const auto side = is_short ? parse_side(text.substr(kShort.size())) : std::nullopt;
  if (!size && !side) {
    throw Error(fmt::format("--size: '{}' given, HxW or short:N wanted, sides 1 to {}", text,
                            kMaxInputSide));
  }
  options.size = size;
  options.short_side = side;
}

void parse_crop(std::string_view text, SizeOptions& options) {
  const auto extent = parse_extent(text);
  const auto side = parse_side(text);
  if (!extent && !side) {
    throw Error(
        fmt::format("--crop: '{}' given, N or HxW wanted, sides 1 to {}", text, kMaxInputSide));
  }
  options.crop = extent ? *extent : Extent{*side, *side};
}

index_t round_half_even(index_t numerator, index_t denominator) {
  const index_t quotient = numerator / denominator;
  const index_t twice_rest = 2 * (numerator % denominator);
  const bool up = twice_rest > denominator || (twice_rest == denominator && quotient % 2 != 0);
  return quotient + (up ? 1 : 0);
}

std::string InputGeometry::note() const {
  if (dropped_rows == 0 && dropped_columns == 0) return {};
  std::string what;
  if (dropped_rows != 0) {
    what = fmt::format("{} row{} at the bottom", dropped_rows, dropped_rows == 1 ? "" : "s");
  }
  if (dropped_columns != 0) {
    what += fmt::format("{}{} column{} at the right", what.empty() ? "" : " and ", dropped_columns,
                        dropped_columns == 1 ? "" : "s");
  }
  return fmt::format("{} left out, which the patch does not divide: the input is {}", what,
                     text_of(crop));
}

InputGeometry input_geometry(const std::string& subject, Extent picture, const SizeOptions& options,
                             const model::VitConfig& config, const model::ModelMetadata& metadata) {
  if (picture.height < 1 || picture.width < 1) {
    throw Error(fmt::format("{}: a picture of {} pixels", subject, text_of(picture)));
  }
  const index_t patch = config.patch_size;
  InputGeometry geometry;
  std::optional<Extent> crop = options.crop;
  if (options.size) {
    geometry.resized = *options.size;
  } else if (options.short_side) {
    geometry.resized = with_short_side(picture, *options.short_side);
  } else {
    Extent size = {config.trained_grid_height * patch, config.trained_grid_width * patch};
    if (metadata.input_size) size = {metadata.input_size->first, metadata.input_size->second};
    if (size.height == size.width) {
      const double crop_pct = metadata.crop_pct.value_or(kDefaultCropPct);
      // nearbyint rounds halves to even.
      const double side = std::nearbyint(static_cast<double>(size.height) / crop_pct);
      if (!(side >= 1 && side <= static_cast<double>(kMaxInputSide))) {
        throw Error(fmt::format("input size {} over crop_pct {}: {} pixels, 1 to {} wanted",
                                size.height, crop_pct, side, kMaxInputSide));
      }
      geometry.resized = with_short_side(picture, static_cast<index_t>(side));
      if (!crop) crop = size;
    } else {
      geometry.resized = size;
    }
  }
  const Extent resized = geometry.resized;
  if (resized.height > kMaxInputPixels / resized.width) {
    throw Error(fmt::format("{}: {} pixels would be resized to {}, at most {} pixels wanted",
                            subject, text_of(picture), text_of(resized), kMaxInputPixels));
  }
  const Extent window = crop.value_or(resized);
  if (window.height > resized.height || window.width > resized.width) {
    throw Error(fmt::format("{}: a crop of {} wanted from a picture resized to {}", subject,
                            text_of(window), text_of(resized)));
  }
  geometry.crop_top = (resized.height - window.height) / 2;
  geometry.crop_left = (resized.width - window.width) / 2;
  geometry.dropped_rows = window.height % patch;
  geometry.dropped_columns = window.width % patch;
  geometry.crop = {window.height - geometry.dropped_rows, window.width - geometry.dropped_columns};
  if (geometry.crop.area() == 0) {
    throw Error(fmt::format("{}: an input of {}, at least one patch of {}x{} wanted", subject,
                            text_of(window), patch, patch));
  }
  return geometry;
}

}  // namespace vitsnna::explain
