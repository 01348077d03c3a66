// Finds files, tells tensors from pictures, and prepares both for the model.
#include "cli/inputs.h"

#include <fmt/format.h>
#include <glob.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <map>
#include <system_error>
#include <utility>

#include "cli/errors.h"
#include "cli/stopwatch.h"
#include "engine/io/npy.h"

namespace vitsnna::cli {
namespace {

namespace fs = std::filesystem;
using explain::Extent;
using explain::LoadedInput;

constexpr std::size_t kKeptBytes = std::size_t{64} << 20;

std::string extension_of(const fs::path& path) {
  std::string extension = path.extension().string();
  for (char& c : extension) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return extension;
}

bool is_tensor_file(const fs::path& path) { return extension_of(path) == ".npy"; }

bool has_input_extension(const fs::path& path) {
  constexpr const char* kExtensions[] = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".npy"};
  return std::find(std::begin(kExtensions), std::end(kExtensions), extension_of(path)) !=
         std::end(kExtensions);
}

std::vector<std::string> files_of_folder(const std::string& folder) {
  std::vector<std::string> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    const fs::path& path = entry.path();
    if (path.filename().string().front() == '.' || !has_input_extension(path)) continue;
    if (entry.is_regular_file()) files.push_back(path.string());
  }
  if (files.empty()) {
    throw Error(
        fmt::format("{}: a folder without .jpg, .jpeg, .png, .webp, .bmp or .npy files", folder));
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::vector<std::string> files_of_glob(const std::string& pattern) {
  glob_t found = {};
  const int failed = ::glob(pattern.c_str(), 0, nullptr, &found);
  std::vector<std::string> files;
  if (failed == 0) files.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  ::globfree(&found);
  std::erase_if(files, [](const std::string& path) { return fs::is_directory(path); });
  if (files.empty()) throw Error(fmt::format("{}: matches no file", pattern));
  return files;
}

std::vector<std::string> expand(const std::vector<std::string>& arguments) {
  std::vector<std::string> files;
  for (const std::string& argument : arguments) {
    std::error_code ignored;
    std::vector<std::string> found = {argument};
    if (fs::is_directory(argument, ignored)) {
      found = files_of_folder(argument);
    } else if (!fs::exists(argument, ignored) &&
               argument.find_first_of("*?[") != std::string::npos) {
      found = files_of_glob(argument);
    }
    files.insert(files.end(), found.begin(), found.end());
  }
  return files;
}

void refuse_equal_stems(const std::vector<InputItem>& items) {
  std::map<std::string, const InputItem*> seen;
  for (const InputItem& item : items) {
    const auto [place, fresh] = seen.emplace(item.stem, &item);
    if (!fresh) {
      throw Error(
          fmt::format("{}: its outputs would have the stem '{}' of {} too: different names "
                      "wanted",
                      item.text(), item.stem, place->second->text()));
    }
  }
}

LoadedInput read_tensor(const InputItem& item, const model::VitConfig& config,
                        const model::ModelMetadata& metadata) {
  const engine::HostTensor tensor = engine::read_npy(item.path);
  const std::size_t first = tensor.shape.size() - 3;
  const index_t channels = tensor.shape[first];
  const Extent whole = {tensor.shape[first + 1], tensor.shape[first + 2]};
  if (channels != config.channels) {
    throw Error(fmt::format("{}: shape {} found, {} channels wanted", item.path,
                            tensor.shape_text(), config.channels));
  }
  // The geometry of a picture that is neither resized nor cropped.
  explain::SizeOptions as_it_is;
  as_it_is.size = whole;
  LoadedInput input;
  input.original = whole;
  input.geometry = explain::input_geometry(item.path, whole, as_it_is, config, metadata);
  const Extent kept = input.geometry.crop;
  const index_t elements = channels * whole.area();
  engine::HostTensor one = tensor;
  one.shape = {channels, whole.height, whole.width};
  one.bytes = tensor.bytes.subspan(static_cast<std::size_t>(item.item.value_or(0) * elements * 4),
                                   static_cast<std::size_t>(elements * 4));
  engine::require_finite(one, item.text());
  const std::vector<float> values = one.to_floats();
  input.tensor.reserve(static_cast<std::size_t>(channels * kept.area()));
  for (index_t row = 0; row < channels * whole.height; ++row) {
    if (row % whole.height >= kept.height) continue;
    const float* begin = values.data() + row * whole.width;
    input.tensor.insert(input.tensor.end(), begin, begin + kept.width);
  }
  input.picture = explain::picture_of_tensor(input.tensor.data(), channels, kept, metadata);
  return input;
}

std::size_t bytes_of(const LoadedInput& input) {
  return input.tensor.size() * sizeof(float) + input.picture.rgb.size();
}

}  // namespace

std::string InputItem::text() const {
  return item ? fmt::format("{}, item {}", path, *item) : path;
}

std::vector<InputItem> find_inputs(const InputArguments& arguments) {
  std::vector<InputItem> items;
  for (const std::string& path : expand(arguments.inputs)) {
    const std::string stem = fs::path(path).stem().string();
    if (!is_tensor_file(path)) {
      items.push_back({path, stem, false, {}});
      continue;
    }
    if (!arguments.size.empty() || !arguments.crop.empty()) {
      throw UsageError(fmt::format("{}: {} given, but a .npy input is taken as it is", path,
                                   arguments.size.empty() ? "--crop" : "--size"));
    }
    const engine::HostTensor tensor = engine::read_npy(path);
    engine::require_float32(tensor, path);
    constexpr std::size_t kRanks[] = {3, 4};
    engine::require_rank(tensor, path, kRanks);
    if (tensor.elements() == 0) {
      throw Error(fmt::format("{}: shape {} found, at least one element wanted", path,
                              tensor.shape_text()));
    }
    if (tensor.shape.size() == 3) {
      items.push_back({path, stem, true, {}});
      continue;
    }
    for (index_t i = 0; i < tensor.shape.front(); ++i) {
      items.push_back({path, fmt::format("{}_{}", stem, i), true, i});
    }
  }
  refuse_equal_stems(items);
  return items;
}

InputLoader::InputLoader(std::vector<InputItem> items, const explain::SizeOptions& size,
                         Session& session)
    : items_(std::move(items)), size_(size), session_(session) {
  std::size_t kept_bytes = 0;
  for (const InputItem& item : items_) {
    const Stopwatch watch;
    LoadedInput input = read(item, session_.queue());
    read_seconds_.push_back(watch.seconds());
    extents_.push_back(input.geometry.crop);
    notes_.push_back(input.geometry.note());
    kept_.emplace_back();
    if (kept_bytes + bytes_of(input) <= kKeptBytes) {
      kept_bytes += bytes_of(input);
      kept_.back() = std::move(input);
    }
  }
}

LoadedInput InputLoader::read(const InputItem& item, engine::Queue& queue) const {
  const model::VitConfig& config = session_.config();
  if (item.is_tensor) return read_tensor(item, config, session_.metadata());
  if (config.channels != 3) {
    throw Error(fmt::format("{}: a picture of 3 channels, but the model takes {}: .npy wanted",
                            item.path, config.channels));
  }
  return explain::load_input(item.path, size_, config, session_.metadata(), queue.backend(),
                             queue.raw());
}

LoadedInput InputLoader::peek(std::size_t index) const {
  const std::optional<LoadedInput>& kept = kept_.at(index);
  return kept ? *kept : read(items_.at(index), session_.queue());
}

LoadedInput InputLoader::load(std::size_t index, engine::Queue& queue) {
  std::optional<LoadedInput>& kept = kept_.at(index);
  if (!kept) return read(items_.at(index), queue);
  LoadedInput input = std::move(*kept);
  kept.reset();
  return input;
}

}  // namespace vitsnna::cli
