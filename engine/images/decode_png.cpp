// PNG through libpng itself: its messages become errors instead of lines on standard error.
#include <fmt/format.h>
#include <png.h>

#include <algorithm>
#include <csetjmp>
#include <cstddef>
#include <cstdio>
#include <string>

#include "engine/images/decoders.h"
#include "engine/images/exif.h"
#include "kernels/error.h"

namespace vitsnna::engine {
namespace {

struct Decoder {
  png_structp png = nullptr;
  png_infop info = nullptr;
  Bytes unread;
  char text[256] = {};

  explicit Decoder(Bytes file) : unread(file) {
    png = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, on_error,
                                 [](png_structp, const char*) {});
    if (png) info = png_create_info_struct(png);
    if (!info) throw Error("libpng has no memory");
    png_set_read_fn(png, this, read);
  }
  ~Decoder() { png_destroy_read_struct(&png, &info, nullptr); }
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  [[noreturn]] static void on_error(png_structp png, const char* message) {
    auto* self = static_cast<Decoder*>(png_get_error_ptr(png));
    std::snprintf(self->text, sizeof self->text, "%s", message);
    png_longjmp(png, 1);
  }

  static void read(png_structp png, png_bytep out, std::size_t bytes) {
    auto* self = static_cast<Decoder*>(png_get_io_ptr(png));
    if (bytes > self->unread.size()) png_error(png, "the file ends before its IEND chunk");
    std::copy_n(self->unread.data(), bytes, out);
    self->unread = self->unread.subspan(bytes);
  }
};

// The functions that set the jump own nothing, so that jumping out of libpng leaks nothing.

bool read_header(Decoder& decoder) {
  if (setjmp(png_jmpbuf(decoder.png))) return false;
  png_read_info(decoder.png, decoder.info);
  return true;
}

/// Any colour type and depth to 8-bit RGB; the alpha channel is left out.
bool set_rgb(Decoder& decoder) {
  if (setjmp(png_jmpbuf(decoder.png))) return false;
  png_set_strip_16(decoder.png);
  png_set_expand(decoder.png);
  png_set_gray_to_rgb(decoder.png);
  png_set_strip_alpha(decoder.png);
  png_set_interlace_handling(decoder.png);
  png_read_update_info(decoder.png, decoder.info);
  return true;
}

/// Reads to IEND, so that every checksum has been seen.
bool read_rows(Decoder& decoder, png_bytepp rows) {
  if (setjmp(png_jmpbuf(decoder.png))) return false;
  png_read_image(decoder.png, rows);
  png_read_end(decoder.png, decoder.info);
  return true;
}

}  // namespace

DecodedImage decode_png(Bytes file) {
  Decoder decoder(file);
  const auto refuse = [&] {
    throw Error(fmt::format("truncated or damaged PNG: {}", decoder.text));
  };
  if (!read_header(decoder)) refuse();
  const index_t height = png_get_image_height(decoder.png, decoder.info);
  const index_t width = png_get_image_width(decoder.png, decoder.info);
  check_header_size(height, width);
  if (!set_rgb(decoder)) refuse();

  DecodedImage decoded;
  decoded.image.height = height;
  decoded.image.width = width;
  decoded.image.rgb.resize(static_cast<std::size_t>(3 * height * width));
  if (png_get_rowbytes(decoder.png, decoder.info) != static_cast<std::size_t>(3 * width)) {
    throw Error("a PNG whose rows are not 8-bit RGB after conversion");
  }
  std::vector<png_bytep> rows(static_cast<std::size_t>(height));
  for (std::size_t y = 0; y < rows.size(); ++y) {
    rows[y] = decoded.image.rgb.data() + 3 * y * static_cast<std::size_t>(width);
  }
  if (!read_rows(decoder, rows.data())) refuse();

  png_uint_32 bytes = 0;
  png_bytep exif = nullptr;
  if (png_get_eXIf_1(decoder.png, decoder.info, &bytes, &exif)) {
    decoded.orientation = exif_orientation({exif, bytes});
  }
  return decoded;
}

}  // namespace vitsnna::engine
