// Copies a picture to the device, resamples and normalises it there, and copies the result back.
#include "explain/pictures/preprocess.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "explain/pictures/device_bytes.h"
#include "engine/images/read_image.h"

namespace vitsnna::explain {

LoadedInput prepare_input(const std::string& subject, const Image& image,
                          const SizeOptions& options, const model::VitConfig& config,
                          const model::ModelMetadata& metadata, const kernels::Backend& backend,
                          kernels::Queue& queue) {
  LoadedInput input;
  input.original = image.extent();
  input.geometry = input_geometry(subject, image.extent(), options, config, metadata);
  const Extent crop = input.geometry.crop;
  input.picture = {crop.height, crop.width, {}};
  input.picture.rgb.resize(static_cast<std::size_t>(3 * crop.area()));
  input.tensor.resize(static_cast<std::size_t>(3 * crop.area()));

  const auto source_bytes = static_cast<index_t>(image.rgb.size());
  const index_t picture_bytes = 3 * crop.area();
  const index_t tensor_bytes = picture_bytes * static_cast<index_t>(sizeof(float));
  const DeviceBytes source(backend, source_bytes), resized(backend, picture_bytes),
      output(backend, tensor_bytes);
  backend.copy_to_device(queue, source.as<void>(), image.rgb.data(), source_bytes);
  kernels::ResampleNormalize args;
  args.source_height = image.height;
  args.source_width = image.width;
  args.source = source.as<std::uint8_t>();
  args.resized_height = input.geometry.resized.height;
  args.resized_width = input.geometry.resized.width;
  args.crop_top = input.geometry.crop_top;
  args.crop_left = input.geometry.crop_left;
  args.crop_height = crop.height;
  args.crop_width = crop.width;
  std::copy(metadata.mean.begin(), metadata.mean.end(), args.mean);
  std::copy(metadata.deviation.begin(), metadata.deviation.end(), args.deviation);
  args.output = output.as<float>();
  args.resized = resized.as<std::uint8_t>();
  run_with_scratch(backend.resample_normalize, args, backend, queue);
  backend.copy_to_host(queue, input.picture.rgb.data(), resized.as<void>(), picture_bytes);
  backend.copy_to_host(queue, input.tensor.data(), output.as<void>(), tensor_bytes);
  backend.synchronize(queue);
  return input;
}

LoadedInput load_input(const std::string& path, const SizeOptions& options,
                       const model::VitConfig& config, const model::ModelMetadata& metadata,
                       const kernels::Backend& backend, kernels::Queue& queue) {
  return prepare_input(path, engine::read_image(path), options, config, metadata, backend, queue);
}

Image picture_of_tensor(const float* tensor, index_t channels, Extent extent,
                        const model::ModelMetadata& metadata) {
  Image picture{extent.height, extent.width, {}};
  picture.rgb.resize(static_cast<std::size_t>(3 * extent.area()));
  for (index_t c = 0; c < 3; ++c) {
    const float* plane = tensor + (c < channels ? c : 0) * extent.area();
    const auto index = static_cast<std::size_t>(c);
    for (index_t i = 0; i < extent.area(); ++i) {
      const float value = plane[i] * metadata.deviation[index] + metadata.mean[index];
      // std::max first: a NaN becomes 0.
      const float clipped = std::min(std::max(0.f, value), 1.f);
      picture.rgb[static_cast<std::size_t>(3 * i + c)] =
          static_cast<std::uint8_t>(std::lround(255.f * clipped));
    }
  }
  return picture;
}

}  // namespace vitsnna::explain
