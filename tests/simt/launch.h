// launch() on the host: runs the kernel's blocks, or records that it should be.
#pragma once

#include "tests/simt/block.h"
#include "tests/simt/launch_record.h"
#include "tests/simt/stream.h"

namespace vitsnna::kernels::cuda {

template <auto kernel, class... Arguments>
void launch(const char* name, Queue& queue, const LaunchShape& shape, Arguments... arguments) {
  if (shape.blocks.x == 0 || shape.blocks.y == 0 || shape.blocks.z == 0) return;
  check_grid(name, shape.blocks);
  if (simt::notes_launches()) {
    simt::record_launch(typeid(simt::KernelTag<kernel>), shape.threads, shape.shared_bytes);
  }
  submit(queue, [=] {
    const auto body = [&] { kernel(arguments...); };
    simt::Launch of;
    of.name = name;
    of.blocks = {shape.blocks.x, shape.blocks.y, shape.blocks.z};
    of.threads = shape.threads;
    of.shared_bytes = shape.shared_bytes;
    of.body = [](const void* closure) { (*static_cast<decltype(&body)>(closure))(); };
    of.arguments = &body;
    simt::run_launch(of);
  });
}

}  // namespace vitsnna::kernels::cuda
