// A table: one image a line, its path first, then its labels. Fields may be quoted as in RFC 4180,
// but end on the line that they begin on.
#include <fmt/format.h>

#include <charconv>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "engine/io/printable.h"
#include "kernels/error.h"
#include "train/data/sources/layouts.h"

namespace vitsnna::train {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> fields_of(const std::string& line, const std::string& where) {
  std::vector<std::string> fields(1);
  enum class State { open, quoted, closed } state = State::open;
  for (std::size_t k = 0; k < line.size(); ++k) {
    const char c = line[k];
    if (state == State::quoted) {
      if (c != '"') {
        fields.back() += c;
      } else if (k + 1 < line.size() && line[k + 1] == '"') {
        fields.back() += line[++k];
      } else {
        state = State::closed;
      }
    } else if (c == ',') {
      fields.emplace_back();
      state = State::open;
    } else if (state == State::closed) {
      throw Error(where + ": text behind a closing quote");
    } else if (c == '"' && fields.back().empty()) {
      state = State::quoted;
    } else {
      fields.back() += c;
    }
  }
  if (state == State::quoted) throw Error(where + ": a quote is not closed on its line");
  return fields;
}

/// 0 for absent, 1 for present, or what lies between: beyond them the loss has no lower bound.
float label_value(const std::string& text, const std::string& where) {
  float value = 0.f;
  const char* end = text.data() + text.size();
  const auto [rest, code] = std::from_chars(text.data(), end, value);
  if (code != std::errc() || rest != end || !(value >= 0.f && value <= 1.f)) {
    throw Error(
        fmt::format("{}: \"{}\", a number from 0 to 1 wanted", where, engine::printable(text, 40)));
  }
  return value;
}

void read_header(const std::vector<std::string>& fields, const std::string& where,
                 Dataset& dataset) {
  if (fields[0] != "path") {
    throw Error(fmt::format("{}: the first column is \"{}\", \"path\" wanted", where,
                            engine::printable(fields[0], 40)));
  }
  std::set<std::string> different;
  for (const std::string& name : fields) {
    if (name.find_first_not_of(" \t\r") == std::string::npos) {
      throw Error(where + ": a column without a name");
    }
    if (!engine::is_utf8(name)) {
      throw Error(fmt::format("{}: the column \"{}\" is not UTF-8 text, as labels are", where,
                              engine::printable(name, 40)));
    }
    if (!different.insert(name).second) {
      throw Error(
          fmt::format("{}: two columns have one name, \"{}\"", where, engine::printable(name, 40)));
    }
  }
  dataset.label_names.assign(fields.begin() + 1, fields.end());
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
      read_header(fields, where, dataset);
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
      const std::string name = engine::printable(dataset.label_names[k - 1]);
      dataset.labels.push_back(label_value(fields[k], fmt::format("{}, {}", where, name)));
    }
  }
  if (in.bad()) throw Error(fmt::format("{}: cannot be read", path.string()));
}

}  // namespace vitsnna::train
