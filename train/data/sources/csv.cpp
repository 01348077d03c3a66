// A table: one image a line, its path first, then its labels. Fields may be quoted as in RFC 4180.
#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "kernels/error.h"
#include "train/data/sources/layouts.h"

namespace vitsnna::train {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> fields_of(const std::string& line, const std::string& where) {
  std::vector<std::string> fields(1);
  bool quoted = false;
  for (std::size_t k = 0; k < line.size(); ++k) {
    const char c = line[k];
    if (quoted) {
      if (c != '"') {
        fields.back() += c;
      } else if (k + 1 < line.size() && line[k + 1] == '"') {
        fields.back() += line[++k];
      } else {
        quoted = false;
      }
    } else if (c == '"' && fields.back().empty()) {
      quoted = true;
    } else if (c == ',') {
      fields.emplace_back();
    } else {
      fields.back() += c;
    }
  }
  if (quoted) throw Error(where + ": a quote is not closed");
  return fields;
}

float number(const std::string& text, const std::string& where) {
  float value = 0.f;
  const char* end = text.data() + text.size();
  const auto [rest, code] = std::from_chars(text.data(), end, value);
  if (code != std::errc() || rest != end || !std::isfinite(value)) {
    throw Error(fmt::format("{}: \"{}\", a number wanted", where, text.substr(0, 40)));
  }
  return value;
}

}  // namespace

void read_csv(const fs::path& path, Dataset& dataset) {
  std::ifstream in(path);
  if (!in) throw Error(fmt::format("{}: cannot be opened", path.string()));
  std::string line;
  for (std::size_t count = 1; std::getline(in, line); ++count) {
    if (line.ends_with('\r')) line.pop_back();
    if (count == 1 && line.starts_with("\xEF\xBB\xBF")) line.erase(0, 3);
    const std::string where = fmt::format("{}:{}", path.string(), count);
    const std::vector<std::string> fields = fields_of(line, where);
    if (count == 1) {
      if (fields[0] != "path") {
        throw Error(fmt::format("{}: the first column is \"{}\", \"path\" wanted", where,
                                fields[0].substr(0, 40)));
      }
      dataset.label_names.assign(fields.begin() + 1, fields.end());
      const std::set<std::string> different(fields.begin(), fields.end());
      if (different.size() != fields.size()) {
        throw Error(where + ": two columns have one name");
      }
      continue;
    }
    if (line.empty()) continue;
    if (fields.size() != dataset.label_names.size() + 1) {
      throw Error(fmt::format("{}: {} fields, {} wanted", where, fields.size(),
                              dataset.label_names.size() + 1));
    }
    const fs::path image = path.parent_path() / fields[0];  // an absolute path stays what it is
    require_image_file(image, where);
    dataset.samples.push_back({image.string(), fields[0]});
    for (std::size_t k = 1; k < fields.size(); ++k) {
      dataset.labels.push_back(
          number(fields[k], fmt::format("{}, {}", where, dataset.label_names[k - 1])));
    }
  }
  if (in.bad()) throw Error(fmt::format("{}: cannot be read", path.string()));
}

}  // namespace vitsnna::train
