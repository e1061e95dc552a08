#include "harness/emulator/integer.hpp"

#include <catch2/catch.hpp>
#include <random>

using namespace wkv::emulator;

namespace {

// The ISA's own definition of bfe and bfi, bit by bit.
template <class T>
T extract_by_bit(T a, uint32_t position, uint32_t length) {
  const uint32_t msb = 8 * sizeof(T) - 1, pos = position & 0xff, len = length & 0xff;
  const auto bit = [a](uint32_t i) { return (a >> i & 1) != 0; };
  const bool sign = std::is_unsigned_v<T> || len == 0 ? false : bit(std::min(pos + len - 1, msb));
  T d = 0;
  for (uint32_t i = 0; i <= msb; ++i) d |= static_cast<T>(T{i < len && pos + i <= msb ? bit(pos + i) : sign} << i);
  return d;
}
template <class T>
T insert_by_bit(T a, T b, uint32_t position, uint32_t length) {
  const uint32_t msb = 8 * sizeof(T) - 1, pos = position & 0xff, len = length & 0xff;
  T f = b;
  for (uint32_t i = 0; i < len && pos + i <= msb; ++i) {
    f = static_cast<T>((f & ~(T{1} << (pos + i))) | ((a >> i & 1) << (pos + i)));
  }
  return f;
}

}  // namespace

TEST_CASE("shifts clamp their amount") {
  CHECK(shift_left(1u, 31) == 0x80000000u);
  CHECK(shift_left(1u, 32) == 0);
  CHECK(shift_left(uint64_t{1}, 32) == uint64_t{1} << 32);
  CHECK(shift_left(uint16_t{1}, 16) == 0);
  CHECK(shift_left(-1, 31) == INT32_MIN);
  CHECK(shift_right(0x80000000u, 31) == 1);
  CHECK(shift_right(0x80000000u, 32) == 0);
  CHECK(shift_right(INT32_MIN, 40) == -1);
  CHECK(shift_right(int64_t{-8}, 1) == -4);
  CHECK(shift_right(int16_t{-1}, 100) == -1);
  CHECK(shift_right(7, 0xffffffffu) == 0);
}

TEST_CASE("products: high halves, 24 bits") {
  CHECK(multiply_high(0xffffffffu, 0xffffffffu) == 0xfffffffeu);
  CHECK(multiply_high(-1, 5) == -1);
  CHECK(multiply_high(~uint64_t{0}, uint64_t{2}) == 1);
  CHECK(multiply_high(INT64_MIN, INT64_MIN) == int64_t{1} << 62);
  CHECK(multiply_high(int16_t{-32768}, int16_t{2}) == -1);
  CHECK(multiply24(0xff000003u, 5u, false) == 15);
  CHECK(multiply24(0x00ffffffu, 0x00ffffffu, true) == 0xfffffe00u);
  CHECK(multiply24(0x00ffffff, 3, false) == -3);
  CHECK(multiply24(0x00ffffff, 3, true) == -1);
}

TEST_CASE("differences, saturation and carries") {
  CHECK(absolute_difference(3u, 5u) == 2);
  CHECK(absolute_difference(INT32_MIN, INT32_MAX) == -1);
  CHECK(add_saturated(INT32_MAX, 1) == INT32_MAX);
  CHECK(add_saturated(INT32_MIN, -1) == INT32_MIN);
  CHECK(subtract_saturated(INT32_MIN, 1) == INT32_MIN);
  CHECK(subtract_saturated(-3, 4) == -7);
  std::mt19937_64 random(1);
  for (int i = 0; i < 10000; ++i) {
    const uint64_t a = random(), b = i % 3 ? random() : ~a;
    const bool carry = random() & 1;
    const auto low = add_with_carry(static_cast<uint32_t>(a), static_cast<uint32_t>(b), carry);
    const auto high = add_with_carry(static_cast<uint32_t>(a >> 32), static_cast<uint32_t>(b >> 32), low.carry);
    const unsigned __int128 sum = static_cast<unsigned __int128>(a) + b + carry;
    CHECK((uint64_t{high.value} << 32 | low.value) == static_cast<uint64_t>(sum));
    CHECK(high.carry == static_cast<bool>(sum >> 64));
    const auto lower = subtract_with_borrow(static_cast<uint32_t>(a), static_cast<uint32_t>(b), carry);
    const auto upper =
        subtract_with_borrow(static_cast<uint32_t>(a >> 32), static_cast<uint32_t>(b >> 32), lower.carry);
    const __int128 difference = static_cast<__int128>(a) - b - carry;
    CHECK((uint64_t{upper.value} << 32 | lower.value) == static_cast<uint64_t>(difference));
    CHECK(upper.carry == (difference < 0));
  }
}

TEST_CASE("dp4a and dp2a") {
  const uint32_t a = 0xff02807f, b = 0x01fe7f80;  // bytes 127, -128 or 128, 2, -1 or 255 and -128 or 128, 127, -2, 1
  CHECK(static_cast<int32_t>(dot4<int8_t, int8_t>(a, b, 10)) == 10 - 127 * 128 - 128 * 127 - 4 - 1);
  CHECK(dot4<uint8_t, uint8_t>(a, b, 10) == 10 + 127 * 128 + 128 * 127 + 2 * 254 + 255);
  CHECK(static_cast<int32_t>(dot4<uint8_t, int8_t>(a, b, 0)) == -127 * 128 + 128 * 127 - 4 + 255);
  const uint32_t halves = 0xfffe0003;  // 3 and -2 or 65534
  CHECK(static_cast<int32_t>(dot2<int16_t, int8_t>(halves, 0x05040201, 7, false)) == 7 + 3 - 4);
  CHECK(static_cast<int32_t>(dot2<int16_t, int8_t>(halves, 0x05040201, 7, true)) == 7 + 12 - 10);
  CHECK(dot2<uint16_t, uint8_t>(halves, 0x0000ff01, 0, false) == 3 + 65534u * 255);
}

TEST_CASE("prmt: the plain mode and the tables of the others") {
  const uint32_t a = 0x83828180, b = 0x07060504;
  CHECK(permute(a, b, 0x3210) == a);
  CHECK(permute(a, b, 0x7654) == b);
  CHECK(permute(a, b, 0x0416) == 0x80048106);
  CHECK(permute(a, b, 0xfb84) == 0x00ffff04);  // signs of bytes 7, 3 and 0, byte 4
  const auto mode = [&](PermuteMode which, uint32_t c) {
    return permute(0x33221100, 0x77665544, permute_selectors(which, c));
  };
  const uint32_t table[][4] = {{0x33221100, 0x44332211, 0x55443322, 0x66554433},   // f4e
                               {0x55667700, 0x66770011, 0x77001122, 0x00112233},   // b4e
                               {0x00000000, 0x11111111, 0x22222222, 0x33333333},   // rc8
                               {0x33221100, 0x33221111, 0x33222222, 0x33333333},   // ecl
                               {0x00000000, 0x11111100, 0x22221100, 0x33221100},   // ecr
                               {0x11001100, 0x33223322, 0x11001100, 0x33223322}};  // rc16
  const PermuteMode modes[] = {PermuteMode::f4e, PermuteMode::b4e, PermuteMode::rc8,
                               PermuteMode::ecl, PermuteMode::ecr, PermuteMode::rc16};
  for (size_t i = 0; i < std::size(modes); ++i) {
    for (uint32_t c = 0; c < 4; ++c) {
      CAPTURE(i, c);
      CHECK(mode(modes[i], c + 0xfff0) == table[i][c]);
    }
  }
}

TEST_CASE("lop3: the table is what the expression gives for 0xf0, 0xcc, 0xaa") {
  const uint32_t a = 0x12345678, b = 0x9abcdef0, c = 0x0f1e2d3c;
  CHECK(logic3(a, b, c, 0xf0 & 0xcc & 0xaa) == (a & b & c));
  CHECK(logic3(a, b, c, 0xf0 ^ 0xcc ^ 0xaa) == (a ^ b ^ c));
  CHECK(logic3(a, b, c, (0xf0 & 0xcc) | (~0xf0 & 0xaa)) == ((a & b) | (~a & c)));
  CHECK(logic3(a, b, c, 0xff) == 0xffffffffu);
  for (uint32_t table = 0; table < 256; ++table) {
    const uint32_t d = logic3(0xf0, 0xcc, 0xaa, table);
    if ((d & 0xff) != table) FAIL(table);
  }
}

TEST_CASE("shf: funnel shifts, clamped and wrapped") {
  const uint32_t a = 0x89abcdef, b = 0x01234567;
  CHECK(funnel_left(a, b, funnel_amount(8, false)) == 0x23456789);
  CHECK(funnel_right(a, b, funnel_amount(8, false)) == 0x6789abcd);
  CHECK(funnel_left(a, b, funnel_amount(0, false)) == b);
  CHECK(funnel_right(a, b, funnel_amount(0, true)) == a);
  CHECK(funnel_left(a, b, funnel_amount(40, true)) == a);
  CHECK(funnel_right(a, b, funnel_amount(40, true)) == b);
  CHECK(funnel_left(a, b, funnel_amount(40, false)) == 0x23456789);
}

TEMPLATE_TEST_CASE("bfe and bfi agree with the ISA's bit-by-bit definition", "", uint32_t, int32_t, uint64_t, int64_t) {
  std::mt19937_64 random(2);
  using Unsigned = std::make_unsigned_t<TestType>;
  for (int i = 0; i < 50000; ++i) {
    const auto a = static_cast<TestType>(random()), b = static_cast<TestType>(random());
    const auto position = static_cast<uint32_t>(random() % (i % 2 ? 40 : 600));
    const auto length = static_cast<uint32_t>(random() % (i % 3 ? 40 : 600));
    const bool right = extract_field(a, position, length) == extract_by_bit(a, position, length) &&
                       insert_field(static_cast<Unsigned>(a), static_cast<Unsigned>(b), position, length) ==
                           insert_by_bit(static_cast<Unsigned>(a), static_cast<Unsigned>(b), position, length);
    if (!right) {
      CAPTURE(a, b, position, length);
      FAIL();
    }
  }
  SUCCEED();
}

TEST_CASE("bfind, brev, fns") {
  CHECK(find_leading(0u, false) == 0xffffffffu);
  CHECK(find_leading(0u, true) == 0xffffffffu);
  CHECK(find_leading(1u, false) == 0);
  CHECK(find_leading(1u, true) == 31);
  CHECK(find_leading(0x80000000u, false) == 31);
  CHECK(find_leading(-1, false) == 0xffffffffu);
  CHECK(find_leading(-2, false) == 0);
  CHECK(find_leading(INT32_MIN, false) == 30);
  CHECK(find_leading(uint64_t{1} << 40, false) == 40);
  CHECK(find_leading(int64_t{-1} << 40, true) == 63 - 39);
  CHECK(reverse_bits(0x00000001u) == 0x80000000u);
  CHECK(reverse_bits(uint64_t{0xf0}) == uint64_t{0x0f} << 56);
  CHECK(find_nth_set(0xaaaaaaaa, 0, 1) == 1);
  CHECK(find_nth_set(0xaaaaaaaa, 0, 3) == 5);
  CHECK(find_nth_set(0xaaaaaaaa, 5, 1) == 5);
  CHECK(find_nth_set(0xaaaaaaaa, 4, -1) == 3);
  CHECK(find_nth_set(0xaaaaaaaa, 4, 0) == 0xffffffffu);
  CHECK(find_nth_set(0xaaaaaaaa, 5, 0) == 5);
  CHECK(find_nth_set(0x1, 0, 2) == 0xffffffffu);
  CHECK(find_nth_set(0x1, 31, -1) == 0);
}

TEST_CASE("szext and bmsk: clamped and wrapped") {
  CHECK(extend_low_bits(0x000000ff, 8, true) == -1);
  CHECK(extend_low_bits(0x000000ffu, 4, true) == 15);
  CHECK(extend_low_bits(0x12345678, 0, true) == 0);
  CHECK(extend_low_bits(0x12345678, 33, true) == 0x12345678);
  CHECK(extend_low_bits(0xffffffffu, 0, false) == 0);
  CHECK(extend_low_bits(0x12345678u, 36, false) == 8);
  CHECK(extend_low_bits(0x12345678u, 32, false) == 0);
  CHECK(bit_mask(1, 2, false) == 6);
  CHECK(bit_mask(4, 40, true) == 0xfffffff0u);
  CHECK(bit_mask(32, 4, true) == 0);
  CHECK(bit_mask(33, 36, false) == 0x1e);
  CHECK(bit_mask(28, 8, true) == 0xf0000000u);
  CHECK(bit_mask(3, 0, true) == 0);
}
