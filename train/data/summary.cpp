// Counts, sizes and overlaps of data sets.
#include "train/data/summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
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

SetSummary summary_of(const Dataset& dataset, index_t most_sized) {
  SetSummary set;
  set.kind = dataset.kind;
  set.path = dataset.path;
  set.split = dataset.split;
  set.images = dataset.size();
  set.notes = dataset.notes;
  set.sized = std::min(set.images, most_sized);
  for (index_t k = 0; k < set.sized; ++k) {
    const Sample& sample = dataset.samples[static_cast<std::size_t>(k * set.images / set.sized)];
    try {
      const engine::Extent extent = engine::image_extent(sample.path);
      ++set.sizes[{extent.height, extent.width}];
    } catch (const Error&) {
      ++set.unreadable;
    }
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

Overlap overlap_of(const Dataset& first, const Dataset& second) {
  Overlap overlap;
  overlap.first = first.split.empty() ? first.path : first.split;
  overlap.second = second.split.empty() ? second.path : second.split;
  std::unordered_set<std::string> names;
  std::unordered_map<std::int64_t, std::vector<const Sample*>> by_bytes;
  for (const Sample& sample : first.samples) {
    names.insert(name_of(sample));
    by_bytes[bytes_of(sample)].push_back(&sample);
  }
  std::unordered_map<std::int64_t, std::unordered_set<std::string>> hashes;  ///< of `first`
  for (const Sample& sample : second.samples) {
    const bool same_name = names.contains(name_of(sample));
    bool same_content = false;
    const std::int64_t bytes = bytes_of(sample);
    const auto alike = by_bytes.find(bytes);
    if (bytes >= 0 && alike != by_bytes.end()) {
      std::unordered_set<std::string>& known = hashes[bytes];
      if (known.empty()) {
        for (const Sample* one : alike->second) known.insert(hash_of(*one));
        known.erase("");
      }
      same_content = known.contains(hash_of(sample));
    }
    overlap.same_name += same_name;
    overlap.same_content += same_content;
    if ((same_name || same_content) && overlap.example.empty()) overlap.example = sample.path;
  }
  return overlap;
}

}  // namespace

DataSummary summarise(const std::vector<const Dataset*>& sets, index_t most_sized) {
  DataSummary summary;
  for (const Dataset* set : sets) summary.sets.push_back(summary_of(*set, most_sized));
  for (std::size_t a = 0; a < sets.size(); ++a) {
    for (std::size_t b = a + 1; b < sets.size(); ++b) {
      summary.overlaps.push_back(overlap_of(*sets[a], *sets[b]));
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
    text += fmt::format("{} and {} share {} names and {} files{}\n", overlap.first, overlap.second,
                        overlap.same_name, overlap.same_content,
                        overlap.example.empty() ? "" : ", " + overlap.example + " for one");
  }
  return text;
}

}  // namespace vitsnna::train
