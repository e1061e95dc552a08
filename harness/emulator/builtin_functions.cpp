#include "harness/emulator/builtin_functions.hpp"

#include <fmt/format.h>

#include <algorithm>
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

// The arguments of one thread's printf, and what they point to: they lie in its memory, each at a multiple of its size.
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
    address_ += sizeof(T);
    return load<T>(address_ - sizeof(T));
  }
  // A string in memory of any kind; an access that is wrong reads a 0.
  std::string text(uint64_t address) {
    if (context_.grid->memory->find(address)) return text_at(context_, address);
    std::string text;
    while (const char c = load<char>(address++)) text += c;
    return text;
  }

 private:
  template <class T>
  T load(uint64_t address) {
    uint64_t addresses[kLanes] = {};
    alignas(16) std::byte values[sizeof(T) * kLanes];
    addresses[lane_] = address;
    context_.load(op_, addresses, Mask{1} << lane_, sizeof(T), values);
    T value;
    std::memcpy(&value, values + sizeof(T) * lane_, sizeof value);
    return value;
  }

  Context& context_;
  Op op_;
  uint32_t lane_;
  uint64_t address_;
};

// A conversion of a format: %[flags][width][.precision][size]letter.
struct Conversion {
  std::string flags;
  int width = 0, precision = -1;  // -1: not given
  bool is_long = false;
  char letter = 0;

  template <class T>
  std::string print(std::string_view size, T value) const {
    const std::string specification = fmt::format("%{}*.*{}{}", flags, size, letter);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    std::string text(static_cast<size_t>(std::snprintf(nullptr, 0, specification.c_str(), width, precision, value)), 0);
    std::snprintf(text.data(), text.size() + 1, specification.c_str(), width, precision, value);
#pragma GCC diagnostic pop
    return text;
  }
};

// What follows a %, which is taken off the format; "*" takes an argument. Without a letter it is no conversion.
Conversion take_conversion(std::string_view& format, PrintArguments& arguments) {
  constexpr int kWidest = 4096;
  const auto take_any_of = [&](std::string_view characters) {
    const size_t length = std::min(format.find_first_not_of(characters), format.size());
    const std::string taken(format.substr(0, length));
    format.remove_prefix(length);
    return taken;
  };
  const auto take_number = [&] {
    if (format.starts_with('*')) {
      format.remove_prefix(1);
      return std::clamp(arguments.next<int>(), -kWidest, kWidest);
    }
    int number = 0;
    for (const char digit : take_any_of("0123456789")) number = std::min(10 * number + (digit - '0'), kWidest);
    return number;
  };
  Conversion conversion;
  conversion.flags = take_any_of("-+ #0");
  conversion.width = take_number();
  if (format.starts_with('.')) {
    format.remove_prefix(1);
    conversion.precision = take_number();
  }
  conversion.is_long = take_any_of("hlLzjt").find_first_of("lzjt") != std::string::npos;
  if (format.empty() || std::string_view("diouxXeEfFgGaAcsp%").find(format.front()) == std::string_view::npos) {
    return conversion;
  }
  conversion.letter = format.front();
  format.remove_prefix(1);
  return conversion;
}

std::string print_conversion(std::string_view& format, PrintArguments& arguments) {
  const std::string_view whole = format;
  format.remove_prefix(1);
  const Conversion conversion = take_conversion(format, arguments);
  switch (conversion.letter) {
    case 0:
      return std::string(whole.substr(0, whole.size() - format.size()));  // as it stands
    case '%':
      return "%";
    case 'd':
    case 'i':
    case 'o':
    case 'u':
    case 'x':
    case 'X':
      return conversion.is_long ? conversion.print("ll", arguments.next<long long>())
                                : conversion.print("", arguments.next<int>());
    case 'c':
      return conversion.print("", arguments.next<int>());
    case 's':
      return conversion.print("", arguments.text(arguments.next<uint64_t>()).c_str());
    case 'p':
      return conversion.print("", reinterpret_cast<void*>(arguments.next<uint64_t>()));
    default:
      return conversion.print("", arguments.next<double>());
  }
}

// vprintf(format, arguments)
void run_print(Context& context, const Op& op, Mask lanes) {
  for_each_lane(lanes, [&](uint32_t lane) {
    PrintArguments arguments(context, op, lane, argument_of(context, op, lane, 1));
    const std::string text = arguments.text(argument_of(context, op, lane, 0));
    std::string output;
    for (std::string_view format = text; !format.empty();) {
      if (format.front() == '%') {
        output += print_conversion(format, arguments);
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
