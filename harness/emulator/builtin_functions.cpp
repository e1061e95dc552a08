#include "harness/emulator/builtin_functions.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <cstring>

#include "harness/emulator/block.hpp"
#include "harness/emulator/operands.hpp"

namespace wkv::emulator {
namespace {

std::string text_at(const Context& context, uint64_t address) {
  std::string text;
  Allocation* allocation = context.grid->memory->find(address);
  while (allocation && allocation->contains(address, 1)) {
    const char c = static_cast<char>(allocation->data[address++ - allocation->begin]);
    if (!c) break;
    text += c;
  }
  return text;
}

uint64_t argument_of(const Context& context, const Op& op, uint32_t lane, size_t index) {
  const Place& place = context.frame->function->calls[op.target].arguments[index];
  uint64_t value = 0;
  std::memcpy(&value, context.frame->parameter(lane, place.offset), std::min<size_t>(place.bytes, sizeof value));
  return value;
}

// __assertfail(message, file, line, function, size of a character)
void run_assert_fail(Context& context, const Op& op, Mask lanes) {
  if (!lanes) return;
  const uint32_t lane = first_lane(lanes);
  context.report(FindingKind::trap, op, lanes, lane, 0, [&] {
    return fmt::format("assertion \"{}\" failed at {}:{}, in {}", text_at(context, argument_of(context, op, lane, 0)),
                       text_at(context, argument_of(context, op, lane, 1)), argument_of(context, op, lane, 2),
                       text_at(context, argument_of(context, op, lane, 3)));
  });
  context.abort();
}

// The arguments of one thread's printf: they lie in its memory, each at a multiple of its size.
class PrintArguments {
 public:
  PrintArguments(Context& context, const Op& op, uint32_t lane, uint64_t address)
      : context_(context), lane_(lane), address_(address) {
    op_.line = op.line;
    op_.location = op.location;
  }
  template <class T>
  T next() {
    address_ = (address_ + sizeof(T) - 1) / sizeof(T) * sizeof(T);
    uint64_t addresses[kLanes] = {};
    alignas(16) std::byte values[sizeof(T) * kLanes];
    addresses[lane_] = address_;
    address_ += sizeof(T);
    context_.load(op_, addresses, Mask{1} << lane_, sizeof(T), values);
    T value;
    std::memcpy(&value, values + sizeof(T) * lane_, sizeof value);
    return value;
  }

 private:
  Context& context_;
  Op op_;
  uint32_t lane_;
  uint64_t address_;
};

template <class T>
std::string print_one(const std::string& specification, T value) {
  char text[512];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
  std::snprintf(text, sizeof text, specification.c_str(), value);
#pragma GCC diagnostic pop
  return text;
}

// One conversion from % to its letter, which is taken off the format.
std::string print_conversion(const Context& context, std::string_view& format, PrintArguments& arguments) {
  const size_t length = std::min(format.find_first_of("diouxXeEfFgGaAcsp%", 1), format.size() - 1);
  const std::string specification(format.substr(0, length + 1));
  format.remove_prefix(length + 1);
  const bool is_long = specification.find('l') != std::string::npos;
  switch (specification.back()) {
    case 'd':
    case 'i':
    case 'o':
    case 'u':
    case 'x':
    case 'X':
      return is_long ? print_one(specification, arguments.next<long long>())
                     : print_one(specification, arguments.next<int>());
    case 'c':
      return print_one(specification, arguments.next<int>());
    case 's':
      return print_one(specification, text_at(context, arguments.next<uint64_t>()).c_str());
    case 'p':
      return print_one(specification, reinterpret_cast<void*>(arguments.next<uint64_t>()));
    case '%':
      return "%";
    default:
      return print_one(specification, arguments.next<double>());
  }
}

// vprintf(format, arguments)
void run_print(Context& context, const Op& op, Mask lanes) {
  for_each_lane(lanes, [&](uint32_t lane) {
    const std::string text = text_at(context, argument_of(context, op, lane, 0));
    PrintArguments arguments(context, op, lane, argument_of(context, op, lane, 1));
    std::string output;
    for (std::string_view format = text; !format.empty();) {
      if (format.front() == '%') {
        output += print_conversion(context, format, arguments);
        continue;
      }
      const size_t plain = std::min(format.find('%'), format.size());
      output += format.substr(0, plain);
      format.remove_prefix(plain);
    }
    context.block->print(output);
    const CallSite& site = context.frame->function->calls[op.target];
    const auto length = static_cast<int32_t>(output.size());
    if (!site.results.empty()) {
      std::memcpy(context.frame->parameter(lane, site.results[0].offset), &length, sizeof length);
    }
  });
}

}  // namespace

Handler builtin_function(std::string_view name, size_t arguments) {
  if (name == "__assertfail" && arguments == 5) return run_assert_fail;
  if (name == "vprintf" && arguments == 2) return run_print;
  return nullptr;
}

}  // namespace wkv::emulator
