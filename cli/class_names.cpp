// Looking names up, exactly first and then forgivingly, and suggesting some when nothing fits.
#include "cli/class_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <map>
#include <optional>
#include <utility>

#include "cli/errors.h"
#include "engine/io/printable.h"

namespace vitsnna::cli {
namespace {

std::string trimmed(std::string_view text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front()))) {
    text.remove_prefix(1);
  }
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back()))) {
    text.remove_suffix(1);
  }
  return std::string(text);
}

std::string file_part_of(std::string_view name) {
  std::string part(name);
  for (char& c : part) {
    const bool kept = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                      c == '_' || c == '-';
    if (!kept) c = '_';
  }
  return part;
}

/// "African elephant", "african_elephant" and "AFRICAN-ELEPHANT" are one name to a forgiving eye.
std::string folded(std::string_view name) {
  std::string text = file_part_of(name);
  for (char& c : text) {
    c = c == '-' ? '_' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return text;
}

/// Levenshtein's distance: insertions, deletions and substitutions between two words.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t substituted = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
    }
  }
  return row[b.size()];
}

std::optional<index_t> parse_index(std::string_view text) {
  index_t value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

}  // namespace

ClassNames::ClassNames(std::vector<std::string> labels, index_t num_classes)
    : labels_(std::move(labels)), num_classes_(num_classes) {
  std::map<std::string, int> uses;
  for (index_t index = 0; index < num_classes_; ++index) {
    file_parts_.push_back(file_part_of(name(index)));
    ++uses[file_parts_.back()];
  }
  for (index_t index = 0; index < num_classes_; ++index) {
    std::string& part = file_parts_[static_cast<std::size_t>(index)];
    if (uses[part] > 1) part += fmt::format("_{}", index);
  }
}

std::string ClassNames::name(index_t index) const {
  const auto position = static_cast<std::size_t>(index);
  if (position < labels_.size() && !labels_[position].empty()) return labels_[position];
  return std::to_string(index);
}

std::string ClassNames::file_part(index_t index) const {
  return file_parts_.at(static_cast<std::size_t>(index));
}

std::string ClassNames::known(std::string_view text) const {
  if (labels_.empty()) return fmt::format("an index from 0 to {} wanted", num_classes_ - 1);
  constexpr std::size_t kListed = 8;
  const std::string wanted = folded(text);
  std::vector<std::pair<std::size_t, index_t>> ranked;
  for (index_t index = 0; index < num_classes_; ++index) {
    const std::string candidate = folded(name(index));
    // A name that contains the word is closer than any misspelling of another.
    const std::size_t distance = !wanted.empty() && candidate.find(wanted) != std::string::npos
                                     ? 0
                                     : 1 + edit_distance(wanted, candidate);
    ranked.emplace_back(distance, index);
  }
  const bool few = static_cast<std::size_t>(num_classes_) <= kListed;
  if (!few) std::stable_sort(ranked.begin(), ranked.end());
  std::string list;
  for (std::size_t i = 0; i < std::min(ranked.size(), few ? kListed : 3); ++i) {
    if (!list.empty()) list += ", ";
    list += fmt::format("{} ({})", engine::printable(name(ranked[i].second)), ranked[i].second);
  }
  return few ? fmt::format("known are {}", list)
             : fmt::format("close to it are {}; there are {} classes", list, num_classes_);
}

index_t ClassNames::find(std::string_view text) const {
  const auto matching = [&](const auto& matches) {
    std::vector<index_t> found;
    for (index_t index = 0; index < static_cast<index_t>(labels_.size()); ++index) {
      if (matches(labels_[static_cast<std::size_t>(index)])) found.push_back(index);
    }
    return found;
  };
  std::vector<index_t> found = matching([&](const std::string& label) { return label == text; });
  if (found.empty()) {
    if (const auto index = parse_index(text); index && *index >= 0 && *index < num_classes_) {
      return *index;
    }
    found = matching([&](const std::string& label) { return folded(label) == folded(text); });
  }
  if (found.empty()) {
    throw Error(fmt::format("--label: the model has no class '{}': {}", engine::printable(text),
                            known(text)));
  }
  if (found.size() > 1) {
    std::string list;
    for (const index_t index : found) list += fmt::format("{}{}", list.empty() ? "" : ", ", index);
    throw Error(fmt::format("--label: '{}' is the name of several classes: say which index of {}",
                            engine::printable(text), list));
  }
  return found.front();
}

explain::LabelSelection ClassNames::select(const std::vector<std::string>& texts) const {
  using Kind = explain::LabelSelection::Kind;
  explain::LabelSelection selection;
  if (texts.empty()) return selection;
  std::vector<std::string> items;
  for (const std::string& text : texts) {
    if (std::find(labels_.begin(), labels_.end(), text) != labels_.end()) {
      items.push_back(text);
      continue;
    }
    std::size_t start = 0;
    while (true) {
      const std::size_t comma = text.find(',', start);
      items.push_back(trimmed(std::string_view(text).substr(start, comma - start)));
      if (comma == std::string::npos) break;
      start = comma + 1;
    }
  }
  selection.kind = Kind::indices;
  for (const std::string& item : items) {
    if (item == "predicted" || item == "all") {
      if (items.size() > 1) {
        throw UsageError(fmt::format("--label: '{}' stands beside others, alone wanted", item));
      }
      selection.kind = item == "all" ? Kind::all : Kind::predicted;
      return selection;
    }
    const index_t index = find(item);
    if (std::find(selection.indices.begin(), selection.indices.end(), index) ==
        selection.indices.end()) {
      selection.indices.push_back(index);
    }
  }
  return selection;
}

}  // namespace vitsnna::cli
