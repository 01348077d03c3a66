// Counts, sizes and overlaps of data sets.
#include "train/data/summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <set>
#include <system_error>
#include <unordered_map>
#include <unordered_set>

#include "engine/images/image_header.h"
#include "engine/io/sha256.h"
#include "kernels/error.h"

namespace vitsnna::train {
namespace {

namespace fs = std::filesystem;

/// Number k of `count` images that are evenly spread over the set.
const Sample& spread(const Dataset& dataset, index_t k, index_t count) {
  return dataset.samples[static_cast<std::size_t>(k * dataset.size() / count)];
}

SetSummary summary_of(const Dataset& dataset, index_t most_sized) {
  SetSummary set;
  set.kind = dataset.kind;
  set.path = dataset.path;
  set.split = dataset.split;
  set.images = dataset.size();
  set.notes = dataset.notes;
  set.sized = std::min(set.images, most_sized);
  double pixels = 0.;
  for (index_t k = 0; k < set.sized; ++k) {
    const Sample& sample = spread(dataset, k, set.sized);
    try {
      const engine::Extent extent = engine::image_extent(sample.path);
      ++set.sizes[{extent.height, extent.width}];
      pixels += static_cast<double>(extent.area());
    } catch (const Error&) {
      ++set.unreadable;
    }
  }
  const index_t readable = set.sized - set.unreadable;
  if (readable > 0) {
    set.decoded_bytes =
        3. * pixels / static_cast<double>(readable) * static_cast<double>(set.images);
  }
  for (std::size_t label = 0; label < dataset.label_names.size(); ++label) {
    LabelCount count{dataset.label_names[label]};
    for (index_t k = 0; k < set.images; ++k) count.positive += dataset.labels_of(k)[label] >= .5f;
    set.labels.push_back(count);
  }
  return set;
}

std::string name_of(const Sample& sample) { return fs::path(sample.id).filename().string(); }

/// -1: the file cannot be asked.
std::int64_t bytes_of(const Sample& sample) {
  std::error_code code;
  const std::uintmax_t bytes = fs::file_size(sample.path, code);
  return code ? -1 : static_cast<std::int64_t>(bytes);
}

/// Hash of the content; empty where it cannot be read.
std::string hash_of(const Sample& sample) {
  try {
    return engine::sha256_of_file(sample.path);
  } catch (const Error&) {
    return {};
  }
}

/// Bytes from the middle of a file of that size, where compressed pictures differ if they do; empty
/// where it cannot be read.
std::string middle_of(const Sample& sample, std::int64_t bytes) {
  std::string middle(static_cast<std::size_t>(std::min<std::int64_t>(bytes, 512)), '\0');
  std::ifstream in(sample.path, std::ios::binary);
  in.seekg((bytes - static_cast<std::int64_t>(middle.size())) / 2);
  in.read(middle.data(), static_cast<std::streamsize>(middle.size()));
  return in ? middle : std::string();
}

/// The contents of a set, of which as little is read as it takes to know whether another is there.
class Contents {
 public:
  explicit Contents(const Dataset& dataset) {
    for (const Sample& sample : dataset.samples) by_bytes_[bytes_of(sample)].push_back(&sample);
    by_bytes_.erase(-1);
  }

  bool has(const Sample& sample) {
    const auto alike = by_bytes_.find(bytes_of(sample));
    if (alike == by_bytes_.end()) return false;
    Middles& middles = by_middle_[alike->first];
    if (middles.empty()) {
      for (const Sample* one : alike->second) {
        middles[middle_of(*one, alike->first)].push_back(one);
      }
    }
    const auto close = middles.find(middle_of(sample, alike->first));
    if (close == middles.end()) return false;
    const std::string hash = hash_of(sample);
    return !hash.empty() &&
           std::any_of(close->second.begin(), close->second.end(), [&](const Sample* one) {
             std::string& known = hashes_[one];
             if (known.empty()) known = hash_of(*one);
             return known == hash;
           });
  }

 private:
  using Middles = std::unordered_map<std::string, std::vector<const Sample*>>;
  std::unordered_map<std::int64_t, std::vector<const Sample*>> by_bytes_;
  std::unordered_map<std::int64_t, Middles> by_middle_;
  std::unordered_map<const Sample*, std::string> hashes_;
};

Overlap overlap_of(const Dataset& first, const Dataset& second, index_t most_compared) {
  Overlap overlap;
  overlap.first = first.split.empty() ? first.path : first.split;
  overlap.second = second.split.empty() ? second.path : second.split;
  std::unordered_set<std::string> names;
  for (const Sample& sample : first.samples) names.insert(name_of(sample));
  for (const Sample& sample : second.samples) {
    if (!names.contains(name_of(sample))) continue;
    if (overlap.same_name++ == 0) overlap.example = sample.path;
  }
  Contents contents(first);
  overlap.second_images = second.size();
  overlap.compared = std::min(second.size(), most_compared);
  for (index_t k = 0; k < overlap.compared; ++k) {
    const Sample& sample = spread(second, k, overlap.compared);
    if (!contents.has(sample)) continue;
    if (overlap.same_content++ == 0 && overlap.same_name == 0) overlap.example = sample.path;
  }
  return overlap;
}

std::string text_of_bytes(double bytes) {
  constexpr double mib = 1 << 20, gib = 1 << 30;
  return bytes < gib ? fmt::format("{:.1f} MiB", bytes / mib)
                     : fmt::format("{:.1f} GiB", bytes / gib);
}

}  // namespace

DataSummary summarise(const std::vector<const Dataset*>& sets, index_t most_sized,
                      index_t most_compared) {
  DataSummary summary;
  for (const Dataset* set : sets) summary.sets.push_back(summary_of(*set, most_sized));
  for (std::size_t a = 0; a < sets.size(); ++a) {
    for (std::size_t b = a + 1; b < sets.size(); ++b) {
      summary.overlaps.push_back(overlap_of(*sets[a], *sets[b], most_compared));
    }
  }
  return summary;
}

std::string text_of(const DataSummary& summary) {
  std::string text;
  for (const SetSummary& set : summary.sets) {
    text += fmt::format("{}{}: {} images ({}, {})\n", set.split, set.split.empty() ? "data" : "",
                        set.images, set.kind, set.path);
    std::vector<std::pair<index_t, std::pair<index_t, index_t>>> sizes;
    for (const auto& [size, count] : set.sizes) sizes.push_back({count, size});
    std::stable_sort(sizes.begin(), sizes.end(),
                     [](const auto& a, const auto& b) { return a.first > b.first; });
    constexpr std::size_t most_lines = 5;
    std::string line;
    for (std::size_t k = 0; k < std::min(sizes.size(), most_lines); ++k) {
      line += fmt::format("{}{}x{}: {}", k == 0 ? "" : ", ", sizes[k].second.first,
                          sizes[k].second.second, sizes[k].first);
    }
    if (sizes.size() > most_lines)
      line += fmt::format(", {} more sizes", sizes.size() - most_lines);
    if (set.unreadable > 0) line += fmt::format(", without a readable header: {}", set.unreadable);
    text += fmt::format("  height x width of {} headers: {}\n", set.sized, line);
    text += fmt::format("  decoded at full size: {}{}\n", set.sized < set.images ? "about " : "",
                        text_of_bytes(set.decoded_bytes));
    if (!set.labels.empty()) {
      line.clear();
      for (const LabelCount& label : set.labels) {
        line +=
            fmt::format("{}{} {} ({:.1f}%)", line.empty() ? "" : ", ", label.name, label.positive,
                        100. * static_cast<double>(label.positive) /
                            static_cast<double>(std::max<index_t>(set.images, 1)));
      }
      text += fmt::format("  labels: {}\n", line);
    }
    for (const std::string& note : set.notes) text += fmt::format("  {}\n", note);
  }
  for (const Overlap& overlap : summary.overlaps) {
    const std::string files =
        overlap.compared < overlap.second_images
            ? fmt::format("{} of {} files compared", overlap.same_content, overlap.compared)
            : fmt::format("{} files", overlap.same_content);
    text += fmt::format("{} and {} share {} names and {}{}\n", overlap.first, overlap.second,
                        overlap.same_name, files,
                        overlap.example.empty() ? "" : ", " + overlap.example + " for one");
  }
  return text;
}

}  // namespace vitsnna::train
