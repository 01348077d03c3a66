// Lines in, lines out.
#include "train/run/metrics_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/io/atomic_file.h"
#include "kernels/error.h"

namespace vitsnna::train {

namespace {

using nlohmann::json;

/// The lines of the steps that are done.
std::string kept_lines(const std::filesystem::path& file, index_t steps_done) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) throw Error(file.string() + ": cannot be read");
  std::string kept, line;
  index_t broken = 0;  // number of the first line that is none; 0: there is none
  for (index_t number = 1; std::getline(stream, line); ++number) {
    if (stream.eof()) break;  // no line end: the line was being written when the run died
    const json object = json::parse(line, nullptr, false);
    if (!object.is_object() || !object.contains("step") || !object["step"].is_number_integer()) {
      if (broken == 0) broken = number;
      continue;
    }
    if (object["step"].get<index_t>() > steps_done) continue;
    if (broken != 0) {
      throw Error(file.string() + ": line " + std::to_string(broken) +
                  " is not a JSON object with a step");
    }
    kept += line + '\n';
  }
  return kept;
}

}  // namespace

MetricsLog::MetricsLog(std::filesystem::path file, index_t steps_done) : file_(std::move(file)) {
  engine::write_file(file_, std::filesystem::exists(file_) ? kept_lines(file_, steps_done) : "");
}

void MetricsLog::append(index_t step, const std::map<std::string, double>& values) {
  json object = json::object();
  object["step"] = step;
  for (const auto& [name, value] : values) {
    object[name] = std::isfinite(value) ? json(value) : json();
  }
  std::ofstream stream(file_, std::ios::binary | std::ios::app);
  stream << object.dump() + "\n" << std::flush;
  if (!stream) throw Error(file_.string() + ": cannot be written");
}

void MetricsLog::sync() const {
  const int descriptor = ::open(file_.c_str(), O_WRONLY | O_CLOEXEC);
  const bool synced = descriptor >= 0 && ::fsync(descriptor) == 0;
  if (descriptor >= 0) ::close(descriptor);
  if (!synced) throw Error(file_.string() + ": cannot be flushed to the disk");
}

}  // namespace vitsnna::train
