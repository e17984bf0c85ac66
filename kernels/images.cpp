// SPDX-License-Identifier: Apache-2.0
// The images, taken in as files by the assembler: the build says where they lie, and builds this again when they
// change.
#include "kernels/images.h"

#include <array>

#include "kernels/router_layout.h"
#include "kernels/worker_layout.h"

// NOLINTBEGIN(bugprone-reserved-identifier): the names are between this file and the assembler
#define WARDEN_TAKE_IN(name)                                         \
  asm(".pushsection .rodata\n"                                       \
      ".balign 4\n"                                                  \
      "warden_kernel_" #name                                         \
      ":\n"                                                          \
      ".incbin \"" WARDEN_IMAGES "/" #name                           \
      ".bin\"\n"                                                     \
      "warden_kernel_" #name                                         \
      "_end:\n"                                                      \
      ".popsection\n");                                              \
  extern const std::byte name##_begin[] asm("warden_kernel_" #name); \
  extern const std::byte name##_end[] asm("warden_kernel_" #name "_end")
// NOLINTEND(bugprone-reserved-identifier)

namespace warden::kernels {

namespace {

WARDEN_TAKE_IN(router_entry);
WARDEN_TAKE_IN(router_text);
WARDEN_TAKE_IN(router_without_telemetry_entry);
WARDEN_TAKE_IN(router_without_telemetry_text);
WARDEN_TAKE_IN(generator);
WARDEN_TAKE_IN(sink);

}  // namespace

const Image& router_image(bool telemetry) {
  static const std::array<Segment, 2> kWith{
      {{kRouterEntry, {router_entry_begin, router_entry_end}}, {kRouterText, {router_text_begin, router_text_end}}}};
  static const std::array<Segment, 2> kWithout{
      {{kRouterEntry, {router_without_telemetry_entry_begin, router_without_telemetry_entry_end}},
       {kRouterText, {router_without_telemetry_text_begin, router_without_telemetry_text_end}}}};
  static const std::array<Image, 2> kImages{{{kWithout}, {kWith}}};
  return kImages[telemetry ? 1 : 0];
}

const Image& generator_image() {
  static const Segment kSegment{kWorkerText, {generator_begin, generator_end}};
  static const Image kImage{{&kSegment, 1}};
  return kImage;
}

const Image& sink_image() {
  static const Segment kSegment{kWorkerText, {sink_begin, sink_end}};
  static const Image kImage{{&kSegment, 1}};
  return kImage;
}

}  // namespace warden::kernels
