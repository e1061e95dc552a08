#include "harness/memory.hpp"

#include <new>
#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace wkv {

Memory allocate(size_t bytes) {
  constexpr size_t kPage = 4096, kHugePage = size_t{2} << 20;
  const size_t alignment = bytes < kHugePage ? kPage : kHugePage;
  const size_t rounded = (bytes + alignment - 1) / alignment * alignment;
  Memory memory(static_cast<std::byte*>(std::aligned_alloc(alignment, rounded)));
  if (memory == nullptr) throw std::bad_alloc();
#if defined(MADV_HUGEPAGE)
  if (alignment == kHugePage) madvise(memory.get(), rounded, MADV_HUGEPAGE);  // a wish: ordinary pages are right too
#endif
  return memory;
}

}  // namespace wkv
