// Reads /proc/self/status, where Linux counts the pages of a process.
#include "cli/process_memory.h"

#include <fmt/format.h>

#include <array>
#include <cctype>
#include <charconv>
#include <fstream>
#include <limits>

#include "cli/errors.h"

namespace vitsnna::cli {
namespace {

std::int64_t status_bytes(std::string_view field) {
  std::ifstream status("/proc/self/status");
  std::string line;
  while (std::getline(status, line)) {
    if (line.rfind(field, 0) != 0) continue;
    const std::size_t digit = line.find_first_of("0123456789");
    if (digit == std::string::npos) return 0;
    std::int64_t kibibytes = 0;
    std::from_chars(line.data() + digit, line.data() + line.size(), kibibytes);
    return kibibytes * 1024;
  }
  return 0;
}

template <std::size_t count>
std::string scaled_text(double value, double step, const std::array<const char*, count>& units) {
  std::size_t unit = 0;
  while (value >= step && unit + 1 < count) value /= step, ++unit;
  return unit == 0 ? fmt::format("{:.0f} {}", value, units[0])
                   : fmt::format("{:.2f} {}", value, units[unit]);
}

}  // namespace

std::int64_t parse_bytes(const std::string& option, std::string_view text) {
  std::string_view digits = text;
  std::int64_t unit = 1;
  if (!digits.empty()) {
    switch (std::toupper(static_cast<unsigned char>(digits.back()))) {
      case 'K':
        unit = std::int64_t{1} << 10;
        break;
      case 'M':
        unit = std::int64_t{1} << 20;
        break;
      case 'G':
        unit = std::int64_t{1} << 30;
        break;
      default:
        break;
    }
    if (unit != 1) digits.remove_suffix(1);
  }
  std::int64_t value = 0;
  const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (code != std::errc() || end != digits.data() + digits.size() || value < 1 ||
      value > std::numeric_limits<std::int64_t>::max() / unit) {
    throw UsageError(fmt::format(
        "{}: '{}' given, a number of bytes wanted, or one with K, M or G (as 800M)", option, text));
  }
  return value * unit;
}

std::string bytes_text(double bytes) {
  return scaled_text<4>(bytes, 1024, {"bytes", "KiB", "MiB", "GiB"});
}

std::string flops_text(double flops) {
  return scaled_text<5>(flops, 1000, {"FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP"});
}

std::int64_t resident_bytes() { return status_bytes("VmRSS:"); }
std::int64_t peak_resident_bytes() { return status_bytes("VmHWM:"); }

}  // namespace vitsnna::cli
