// JPEG through libjpeg itself: unlike OpenCV's reader, it tells a truncated file from a whole one.
#include <fmt/format.h>

#include <algorithm>
#include <csetjmp>
#include <cstddef>
#include <vector>

// clang-format off: jpeglib.h wants <cstdio> before it
#include <jerror.h>
#include <jpeglib.h>

#include <cstdio>
// clang-format on

#include "engine/images/decoders.h"
#include "engine/images/exif.h"
#include "kernels/error.h"

namespace vitsnna::engine {
namespace {

/// A progressive file may ask for any number of passes over the picture; no camera writes more
/// than a dozen.
constexpr int kMaxScans = 500;

/// libjpeg reports by calling back; what it may not do is return from an error, hence the jump.
struct ErrorManager {
  jpeg_error_mgr base = {};  // first: libjpeg hands back a pointer to it
  std::jmp_buf jump;
  char text[JMSG_LENGTH_MAX] = {};
};

[[noreturn]] void fail(j_common_ptr info) {
  auto* manager = reinterpret_cast<ErrorManager*>(info->err);
  (*manager->base.format_message)(info, manager->text);
  std::longjmp(manager->jump, 1);
}

/// Warnings that mean missing or unreadable picture data are errors here; the others (a strange
/// revision number, bytes between segments) leave the picture whole.
void on_message(j_common_ptr info, int level) {
  if (level >= 0) return;
  switch (info->err->msg_code) {
    case JWRN_JPEG_EOF:
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_MUST_RESYNC:
      fail(info);
    default:
      break;
  }
}

void on_progress(j_common_ptr info) {
  if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number > kMaxScans) {
    auto* manager = reinterpret_cast<ErrorManager*>(info->err);
    std::snprintf(manager->text, sizeof manager->text, "more than %d scans", kMaxScans);
    std::longjmp(manager->jump, 1);
  }
}

struct Decoder {
  jpeg_decompress_struct info = {};
  ErrorManager errors;
  jpeg_progress_mgr progress = {};

  Decoder() {
    info.err = jpeg_std_error(&errors.base);
    errors.base.error_exit = fail;
    errors.base.emit_message = on_message;
    errors.base.output_message = [](j_common_ptr) {};
    progress.progress_monitor = on_progress;
  }
  ~Decoder() { jpeg_destroy_decompress(&info); }
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;
};

// The functions that set the jump own nothing, so that jumping out of libjpeg leaks nothing.

bool read_header(Decoder& decoder, Bytes file) {
  if (setjmp(decoder.errors.jump)) return false;
  jpeg_create_decompress(&decoder.info);
  decoder.info.progress = &decoder.progress;
  jpeg_mem_src(&decoder.info, file.data(), static_cast<unsigned long>(file.size()));
  jpeg_save_markers(&decoder.info, JPEG_APP0 + 1, 0xFFFF);
  jpeg_read_header(&decoder.info, TRUE);
  return true;
}

/// Rows of `channels` bytes a pixel into `pixels`; the file is read to its end-of-image marker.
bool read_rows(Decoder& decoder, std::uint8_t* pixels, std::size_t row_bytes) {
  if (setjmp(decoder.errors.jump)) return false;
  jpeg_start_decompress(&decoder.info);
  while (decoder.info.output_scanline < decoder.info.output_height) {
    JSAMPROW row = pixels + decoder.info.output_scanline * row_bytes;
    jpeg_read_scanlines(&decoder.info, &row, 1);
  }
  jpeg_finish_decompress(&decoder.info);
  return true;
}

int orientation_of(const jpeg_decompress_struct& info) {
  for (const jpeg_marker_struct* marker = info.marker_list; marker; marker = marker->next) {
    const Bytes data(marker->data, marker->data_length);
    if (data.size() > 6 && std::equal(data.begin(), data.begin() + 6, "Exif\0")) {
      return exif_orientation(data);
    }
  }
  return 1;
}

/// In how many eighths of its sides a picture is decoded. Seven are left out: they take more than
/// twice the time of all eight, whose transform libjpeg-turbo vectorises, for a quarter less
/// pixels.
unsigned eighths(const jpeg_decompress_struct& info, index_t least_short_side) {
  const index_t short_side = std::min(info.image_height, info.image_width);
  if (least_short_side < 1) return 8;
  for (const unsigned of_eight : {1u, 2u, 3u, 4u, 5u, 6u}) {
    if ((short_side * of_eight + 7) / 8 >= least_short_side) return of_eight;
  }
  return 8;
}

/// `inked` holds four channels as Adobe writes them, inverted: 255 is no ink. With k = 255 - K,
/// R = k - round(C * k / 255), in Pillow's integers.
void cmyk_to_rgb(const std::vector<std::uint8_t>& inked, std::vector<std::uint8_t>& rgb) {
  for (std::size_t pixel = 0; pixel < inked.size() / 4; ++pixel) {
    const int k = inked[4 * pixel + 3];
    for (std::size_t c = 0; c < 3; ++c) {
      const int product = (255 - inked[4 * pixel + c]) * k + 128;
      rgb[3 * pixel + c] = static_cast<std::uint8_t>(k - ((product + (product >> 8)) >> 8));
    }
  }
}

}  // namespace

DecodedImage decode_jpeg(Bytes file, index_t least_short_side) {
  Decoder decoder;
  const auto refuse = [&] {
    throw Error(fmt::format("truncated or damaged JPEG: {}", decoder.errors.text));
  };
  if (!read_header(decoder, file)) refuse();
  check_header_size(decoder.info.image_height, decoder.info.image_width);

  DecodedImage decoded;
  decoded.orientation = orientation_of(decoder.info);
  decoder.info.scale_num = eighths(decoder.info, least_short_side);
  decoder.info.scale_denom = 8;
  jpeg_calc_output_dimensions(&decoder.info);
  decoded.image.height = decoder.info.output_height;
  decoded.image.width = decoder.info.output_width;
  const auto pixels = static_cast<std::size_t>(decoded.image.extent().area());
  const auto width = static_cast<std::size_t>(decoded.image.width);
  std::vector<std::uint8_t>& rgb = decoded.image.rgb;
  rgb.resize(3 * pixels);
  const J_COLOR_SPACE space = decoder.info.jpeg_color_space;
  if (space == JCS_CMYK || space == JCS_YCCK) {
    decoder.info.out_color_space = JCS_CMYK;
    std::vector<std::uint8_t> inked(4 * pixels);
    if (!read_rows(decoder, inked.data(), 4 * width)) refuse();
    cmyk_to_rgb(inked, rgb);
  } else {
    decoder.info.out_color_space = JCS_RGB;  // grey is repeated by libjpeg
    if (!read_rows(decoder, rgb.data(), 3 * width)) refuse();
  }
  return decoded;
}

}  // namespace vitsnna::engine
