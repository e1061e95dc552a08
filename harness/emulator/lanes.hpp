// How handlers walk a warp's lanes. Included by decode_*.cpp once for each target (see targets.hpp), so that the loops
// are vectorised for it: no include guard.
//
// An operation on values is a function object; apply makes a handler of it that does all 32 lanes without a branch when
// they are all active, and otherwise computes all and keeps the results of the active ones. So the function object must
// bear whatever inactive lanes hold.

namespace wkv::emulator {
namespace WKV_TARGET {
namespace {

template <class T>
inline const T* lanes_of(const Context& context, const Source& source) {
  return reinterpret_cast<const T*>(source.lanes(context.registers));
}

template <class T>
inline T* lanes_at(Context& context, uint32_t offset) {
  return reinterpret_cast<T*>(context.registers + offset);
}

inline Mask mask_of(const Context& context, const Source& source) { return *lanes_of<Mask>(context, source); }

inline void set_mask(Context& context, uint32_t offset, Mask lanes, Mask value) {
  if (offset == kNone) return;
  Mask& mask = *lanes_at<Mask>(context, offset);
  mask = (mask & ~lanes) | (value & lanes);
}

// Flattened: what the loop calls must be part of it to be vectorised, however large it is.
template <class T, class Compute>
[[gnu::flatten]] inline void for_lanes(T* out, Mask lanes, const Compute& compute) {
  if constexpr (std::is_class_v<T>) {  // as bits, since loops over structs are not vectorised
    using Bits = typename T::Bits;
    for_lanes(reinterpret_cast<Bits*>(out), lanes,
              [&](uint32_t lane) { return std::bit_cast<Bits>(static_cast<T>(compute(lane))); });
  } else if (lanes == kFull) {
#pragma GCC ivdep
    for (uint32_t lane = 0; lane < kLanes; ++lane) out[lane] = compute(lane);
  } else {
#pragma GCC ivdep
    for (uint32_t lane = 0; lane < kLanes; ++lane) {
      const T value = compute(lane);
      out[lane] = (lanes >> lane & 1) ? value : out[lane];
    }
  }
}

// Calls body with an operation's flags, with a constant where there are none: most instructions have none, and then
// the loop has no conditions.
template <class Body>
inline void with_flags(uint8_t flags, const Body& body) {
  if (flags == 0) {
    body(std::integral_constant<uint8_t, 0>());
  } else {
    body(flags);
  }
}

template <class F, class R, class A>
void unary(Context& context, const Op& op, Mask lanes) {
  if (op.dst[0] == kNone) return;
  const A* a = lanes_of<A>(context, op.src[0]);
  for_lanes(lanes_at<R>(context, op.dst[0]), lanes, [&](uint32_t lane) -> R { return F()(a[lane]); });
}

template <class F, class R, class A, class B>
void binary(Context& context, const Op& op, Mask lanes) {
  if (op.dst[0] == kNone) return;
  const A* a = lanes_of<A>(context, op.src[0]);
  const B* b = lanes_of<B>(context, op.src[1]);
  for_lanes(lanes_at<R>(context, op.dst[0]), lanes, [&](uint32_t lane) -> R { return F()(a[lane], b[lane]); });
}

template <class F, class R, class A, class B, class C>
void ternary(Context& context, const Op& op, Mask lanes) {
  if (op.dst[0] == kNone) return;
  const A* a = lanes_of<A>(context, op.src[0]);
  const B* b = lanes_of<B>(context, op.src[1]);
  const C* c = lanes_of<C>(context, op.src[2]);
  for_lanes(lanes_at<R>(context, op.dst[0]), lanes, [&](uint32_t lane) -> R { return F()(a[lane], b[lane], c[lane]); });
}

// pick with a zero of the type's C++ type.
template <class Pick>
Handler for_integer_type(const Decoder& d, Type type, const Pick& pick) {
  if (is_float(type) || bytes_of(type) < 2) d.fail("this type is not covered");
  const bool negative = is_signed(type);
  switch (bytes_of(type)) {
    case 2:
      return negative ? pick(int16_t{}) : pick(uint16_t{});
    case 4:
      return negative ? pick(int32_t{}) : pick(uint32_t{});
    case 8:
      return negative ? pick(int64_t{}) : pick(uint64_t{});
    default:
      d.fail("this type is not covered");
  }
}

// A bit for each lane for which the predicate of lanes holds.
template <class Test>
inline Mask test_lanes(const Test& test) {
  Mask mask = 0;
  for (uint32_t lane = 0; lane < kLanes; ++lane) mask |= Mask{test(lane)} << lane;
  return mask;
}

}  // namespace
}  // namespace WKV_TARGET
}  // namespace wkv::emulator
