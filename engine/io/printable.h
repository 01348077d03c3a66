// Names and values out of a file, made fit for a one-line message.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace vitsnna::engine {

/// `text` with control characters, quotes, backslashes and bytes that are not UTF-8 as \xNN, cut
/// after `limit` bytes.
std::string printable(std::string_view text, std::size_t limit = 160);

/// Bytes at the front of `text` that are well-formed UTF-8 (no surrogates, no overlong forms).
std::size_t valid_utf8_prefix(std::string_view text);
inline bool is_utf8(std::string_view text) { return valid_utf8_prefix(text) == text.size(); }

}  // namespace vitsnna::engine
