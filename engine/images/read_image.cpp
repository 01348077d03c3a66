// Opens an image file, finds out what it is from its first bytes, decodes it and turns it upright.
#include "engine/images/read_image.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string_view>
#include <system_error>
#include <vector>

#include "engine/images/decoders.h"
#include "engine/images/exif.h"
#include "kernels/error.h"

namespace vitsnna::engine {
namespace {

constexpr std::uintmax_t kMaxFileBytes = std::uintmax_t{1} << 30;
constexpr std::string_view kFormats = "JPEG, PNG, WebP or BMP";

using DecodeFunction = DecodedImage (*)(Bytes, index_t);

DecodeFunction decoder_of(std::string_view start) {
  const auto begins = [&](std::string_view magic) {
    return start.substr(0, magic.size()) == magic;
  };
  if (begins("\xFF\xD8\xFF")) return decode_jpeg;
  if (begins("\x89PNG\r\n\x1A\n")) return [](Bytes file, index_t) { return decode_png(file); };
  if (begins("RIFF") && start.size() >= 12 && start.substr(8, 4) == "WEBP") {
    return [](Bytes file, index_t) { return decode_webp(file); };
  }
  if (begins("BM")) return [](Bytes file, index_t) { return decode_bmp(file); };
  return nullptr;
}

/// The first bytes as text where they are printable, else in hexadecimal.
std::string describe(std::string_view start) {
  start = start.substr(0, 8);
  bool printable = true;
  for (const char c : start) printable = printable && c >= ' ' && c <= '~';
  if (printable) return fmt::format("\"{}\"", start);
  std::string hex;
  for (const char c : start) {
    hex += fmt::format("{}{:02x}", hex.empty() ? "" : " ", static_cast<unsigned char>(c));
  }
  return hex;
}

}  // namespace

void check_header_size(index_t height, index_t width) {
  if (height < 1 || width < 1) {
    throw Error(fmt::format("its header says {} x {} pixels (height x width)", height, width));
  }
  if (height > kMaxImagePixels / width) {
    throw Error(
        fmt::format("its header says {} x {} pixels (height x width), at most {} in all wanted",
                    height, width, kMaxImagePixels));
  }
}

Image read_image(const std::string& path, index_t least_short_side) {
  namespace fs = std::filesystem;
  std::error_code code;
  const fs::file_status status = fs::status(path, code);
  if (status.type() == fs::file_type::not_found) throw Error(path + ": no such file");
  if (code) throw Error(fmt::format("{}: {}", path, code.message()));
  if (fs::is_directory(status)) throw Error(path + ": a directory, an image file wanted");
  if (!fs::is_regular_file(status))
    throw Error(path + ": not a regular file, an image file wanted");
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  if (!in) throw Error(fmt::format("{}: cannot be opened: {}", path, std::strerror(errno)));

  char start[16] = {};
  in.read(start, sizeof start);
  const std::string_view seen(start, static_cast<std::size_t>(in.gcount()));
  if (seen.empty()) throw Error(fmt::format("{}: an empty file, {} wanted", path, kFormats));
  const DecodeFunction decode = decoder_of(seen);
  if (!decode) {
    throw Error(fmt::format("{}: begins with {}, {} wanted", path, describe(seen), kFormats));
  }
  const std::uintmax_t bytes = fs::file_size(path, code);
  if (code) throw Error(fmt::format("{}: {}", path, code.message()));
  if (bytes > kMaxFileBytes) {
    throw Error(
        fmt::format("{}: a file of {} bytes, at most {} wanted", path, bytes, kMaxFileBytes));
  }
  try {
    std::vector<std::uint8_t> file(static_cast<std::size_t>(bytes));
    in.clear();
    in.seekg(0);
    in.read(reinterpret_cast<char*>(file.data()), static_cast<std::streamsize>(bytes));
    if (static_cast<std::uintmax_t>(in.gcount()) != bytes) {
      throw Error(fmt::format("{} bytes could be read of {}", in.gcount(), bytes));
    }
    DecodedImage decoded = decode(file, least_short_side);
    return apply_orientation(std::move(decoded.image), decoded.orientation);
  } catch (const Error& error) {
    throw Error(fmt::format("{}: {}", path, error.what()));
  } catch (const std::bad_alloc&) {
    throw Error(fmt::format("{}: no memory for its {} bytes and its pixels", path, bytes));
  }
}

}  // namespace vitsnna::engine
