// Hands one map to the render kernel, whatever the backend.
#include "explain/pictures/overlay.h"

#include <fmt/format.h>

#include <cmath>
#include <cstddef>

#include "explain/pictures/colormaps.h"
#include "explain/pictures/device_bytes.h"
#include "kernels/error.h"

namespace vitsnna::explain {
namespace {

void check(std::span<const float> map, Extent grid, const OverlayOptions& options) {
  if (grid.height < 1 || grid.width < 1 || static_cast<index_t>(map.size()) != grid.area()) {
    throw Error(fmt::format("overlay: a map of {} values for a grid of {}x{}", map.size(),
                            grid.height, grid.width));
  }
  if (!(options.alpha >= 0.f && options.alpha <= 1.f)) {
    throw Error(fmt::format("overlay: alpha {}, 0 to 1 wanted", options.alpha));
  }
  for (std::size_t i = 0; i < map.size(); ++i) {
    if (!std::isfinite(map[i])) {
      throw Error(fmt::format("overlay: the map holds {} at row {}, column {}", map[i],
                              static_cast<index_t>(i) / grid.width,
                              static_cast<index_t>(i) % grid.width));
    }
  }
}

/// `picture` null: the heat alone.
Image render(std::span<const float> map, Extent grid, Extent size, const Image* picture,
             const OverlayOptions& options, const kernels::Backend& backend,
             kernels::Queue& queue) {
  check(map, grid, options);
  const ColormapTable& table = colormap(options.colormap);
  const index_t pixels_bytes = 3 * size.area();
  const auto map_bytes = static_cast<index_t>(map.size_bytes());
  const auto table_bytes = static_cast<index_t>(table.size());
  const DeviceBytes device_map(backend, map_bytes), device_table(backend, table_bytes),
      image(backend, picture ? pixels_bytes : 0), output(backend, pixels_bytes);
  backend.copy_to_device(queue, device_map.as<void>(), map.data(), map_bytes);
  backend.copy_to_device(queue, device_table.as<void>(), table.data(), table_bytes);
  if (picture) {
    backend.copy_to_device(queue, image.as<void>(), picture->rgb.data(), pixels_bytes);
  }
  kernels::RenderOverlay args;
  args.grid_height = grid.height;
  args.grid_width = grid.width;
  args.map = device_map.as<float>();
  args.height = size.height;
  args.width = size.width;
  args.image = image.as<std::uint8_t>();
  args.colormap = device_table.as<std::uint8_t>();
  args.upsampling = options.upsampling;
  args.blend = options.blend;
  args.alpha = options.alpha;
  args.output = output.as<std::uint8_t>();
  run_with_scratch(backend.render_overlay, args, backend, queue);
  Image result{size.height, size.width, {}};
  result.rgb.resize(static_cast<std::size_t>(pixels_bytes));
  backend.copy_to_host(queue, result.rgb.data(), output.as<void>(), pixels_bytes);
  backend.synchronize(queue);
  return result;
}

}  // namespace

Image render_overlay(std::span<const float> map, Extent grid, const Image& picture,
                     const OverlayOptions& options, const kernels::Backend& backend,
                     kernels::Queue& queue) {
  return render(map, grid, picture.extent(), &picture, options, backend, queue);
}

Image render_heat(std::span<const float> map, Extent grid, Extent size,
                  const OverlayOptions& options, const kernels::Backend& backend,
                  kernels::Queue& queue) {
  return render(map, grid, size, nullptr, options, backend, queue);
}

}  // namespace vitsnna::explain
