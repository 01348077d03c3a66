// Bytes: as a user writes them, as a user reads them, and how many this process has taken.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace vitsnna::cli {

/// "800M", "2G", "65536": bytes, or with K, M or G (of 1024, either case). Throws UsageError naming
/// `option`.
std::int64_t parse_bytes(const std::string& option, std::string_view text);

/// "1.23 GiB".
std::string bytes_text(double bytes);
/// "3.07 TFLOP".
std::string flops_text(double flops);

/// Resident memory of this process, now and at its highest so far, in bytes; 0 where the system
/// does not say.
std::int64_t resident_bytes();
std::int64_t peak_resident_bytes();

}  // namespace vitsnna::cli
