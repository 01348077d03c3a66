// Names are compared in small letters, a name's mirrored one by exchanging its words.
#include "train/augment/mirrored_labels.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <map>

#include "engine/io/printable.h"
#include "kernels/error.h"

namespace vitsnna::train {
namespace {

bool is_letter(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0; }
bool is_capital(char c) { return std::isupper(static_cast<unsigned char>(c)) != 0; }

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

/// In small letters, with left for right and right for left.
std::string mirrored(const std::string& name) {
  std::string result;
  for (std::size_t at = 0; at < name.size();) {
    std::size_t end = at + 1;
    if (is_letter(name[at])) {
      while (end < name.size() && is_letter(name[end]) &&
             !(is_capital(name[end]) && !is_capital(name[end - 1]))) {
        ++end;
      }
    }
    const std::string word = lower(name.substr(at, end - at));
    result += word == "left" ? "right" : word == "right" ? "left" : word;
    at = end;
  }
  return result;
}

struct Mirror {
  std::vector<std::size_t> places;
  std::vector<std::string> alone;  ///< names with a side and without a partner
};

Mirror mirror_of(const std::vector<std::string>& names) {
  std::multimap<std::string, std::size_t> by_name;
  for (std::size_t k = 0; k < names.size(); ++k) by_name.emplace(lower(names[k]), k);
  Mirror mirror;
  for (std::size_t k = 0; k < names.size(); ++k) {
    mirror.places.push_back(k);
    const std::string own = lower(names[k]), other = mirrored(names[k]);
    if (own == other) continue;
    // Names that differ in capitals alone leave open who is whose partner.
    if (by_name.count(own) == 1 && by_name.count(other) == 1 &&
        mirrored(names[by_name.find(other)->second]) == own) {
      mirror.places[k] = by_name.find(other)->second;
    } else {
      mirror.alone.push_back(names[k]);
    }
  }
  return mirror;
}

}  // namespace

std::vector<std::size_t> mirrored_labels(const std::vector<std::string>& names) {
  return mirror_of(names).places;
}

void require_mirrored_labels(const std::vector<std::string>& names, double flip) {
  if (flip <= 0.) return;
  const std::vector<std::string> alone = mirror_of(names).alone;
  if (alone.empty()) return;
  throw Error(fmt::format(
      "--flip: label \"{}\" has a side and no one label \"{}\" to change places with in "
      "a mirrored picture, --flip 0 wanted",
      engine::printable(alone.front()), engine::printable(mirrored(alone.front()))));
}

}  // namespace vitsnna::train
