// Memory that is measured: tensors, scratch, the buffers behind the ceilings.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>

namespace wkv {

struct FreeDeleter {
  void operator()(std::byte* memory) const { std::free(memory); }
};
using Memory = std::unique_ptr<std::byte[], FreeDeleter>;

// Uninitialised, page-aligned, at least 2 MiB in huge pages where the system has them. A sequence tensor is read in
// pieces of one head a token, each on another page: with pages of 4 KiB that would measure the TLB.
// Throws std::bad_alloc.
Memory allocate(size_t bytes);

}  // namespace wkv
