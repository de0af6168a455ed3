// The tests' stand-in for engine/kernels/cuda/intrinsics.cuh: the same functions, bit for bit, on fibers.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

#include "fibers.h"

#define __global__
#define __device__
#define __launch_bounds__(...)
#define threadIdx shim::thread_index
#define blockIdx shim::block_index
#define blockDim shim::block_size
#define gridDim shim::grid_size

struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(16) int4 { int x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };

namespace lynceus {

typedef int8_t i8;
typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef unsigned long long u64;

constexpr int kWarp = 32;

struct half { u16 bits; };
struct bfloat16 { u16 bits; };

inline int lane_id() { return threadIdx.x % kWarp; }
inline int warp_id() { return threadIdx.x / kWarp; }
inline int warps() { return blockDim.x / kWarp; }
inline u8* shared_memory() { return shim::shared_memory(); }
inline void sync_block() { shim::sync_block(); }

template <class T>
inline shim::Slot slot_of(const T& value) {
  shim::Slot slot{};
  static_assert(sizeof value <= sizeof slot);
  std::memcpy(&slot, &value, sizeof value);
  return slot;
}

template <class T>
inline T value_of(const shim::Slot& slot) {
  T value;
  std::memcpy(&value, &slot, sizeof value);
  return value;
}

inline void sync_warp() { shim::meet_warp({}); }

template <class T>
inline T shuffle(T value, int lane) {
  if (lane < 0 || lane >= kWarp) shim::refuse("a shuffle reads a lane that is not there");
  return value_of<T>(shim::meet_warp(slot_of(value))[lane]);
}
template <class T>
inline T shuffle_xor(T value, int mask) { return shuffle(value, lane_id() ^ mask); }

inline u32 largest_of_warp(u32 value) {
  const shim::Slot* slots = shim::meet_warp(slot_of(value));
  u32 most = 0;
  for (int lane = 0; lane < kWarp; ++lane) {
    const u32 other = value_of<u32>(slots[lane]);
    most = other > most ? other : most;
  }
  return most;
}

inline u32 lanes_alike(u32 value) {
  const shim::Slot* slots = shim::meet_warp(slot_of(value));
  u32 mask = 0;
  for (int lane = 0; lane < kWarp; ++lane) mask |= u32{value_of<u32>(slots[lane]) == value} << lane;
  return mask;
}

inline int bits_set(u32 mask) { return __builtin_popcount(mask); }
inline int highest_bit(u32 mask) { return 31 - __builtin_clz(mask); }

inline u32 bits_of(float value) { return value_of<u32>(slot_of(value)); }
inline float float_of(u32 bits) { return value_of<float>(slot_of(bits)); }

inline int nearest(float value) {
  if (std::isnan(value)) return 0;
  if (value >= 2147483648.0f) return INT32_MAX;
  if (value <= -2147483648.0f) return INT32_MIN;
  return static_cast<int>(std::nearbyint(value));
}
inline float power_of_e(float value) { return std::exp(value); }

inline int dp4a(u32 a, u32 b, int sum) {
  for (int i = 0; i < 4; ++i) sum += static_cast<i8>(a >> 8 * i) * static_cast<i8>(b >> 8 * i);
  return sum;
}

inline u32 permute(u32 low, u32 high, u32 selector) {
  const u64 both = static_cast<u64>(high) << 32 | low;
  u32 result = 0;
  for (int i = 0; i < 4; ++i) {
    const u32 nibble = selector >> 4 * i & 15, byte = static_cast<u32>(both >> 8 * (nibble & 7)) & 0xff;
    result |= (nibble & 8 ? (byte & 0x80 ? 0xffu : 0u) : byte) << 8 * i;
  }
  return result;
}

inline void forget(u32&) {}
inline uint4 load_stream(const void* from) { return *static_cast<const uint4*>(from); }
template <class T>
inline T load_fresh(const T* from) { return *from; }

inline int atomic_add(int* to, int value) {
  const int before = *to;
  *to += value;
  return before;
}
inline int load_volatile(const int* from) { return *from; }
inline void fence() {}
inline void relax() { shim::relax(); }

template <int kBytes>
inline void copy_async(void* to, const void* from) { shim::copy_later(to, from, kBytes); }
inline void copy_async_commit() { shim::close_copies(); }
template <int kPending>
inline void copy_async_wait() { shim::wait_copies(kPending); }

inline void multiply_add(int (&sums)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  struct Operands {
    u32 words[6];
  };
  const shim::Slot* slots = shim::meet_warp(slot_of(Operands{{a[0], a[1], a[2], a[3], b0, b1}}));
  const int row = lane_id() / 4, column = lane_id() % 4 * 2;
  for (int part = 0; part < 4; ++part) {
    const Operands left = value_of<Operands>(slots[4 * row + part]);
    for (int right_column = 0; right_column < 2; ++right_column) {
      const Operands right = value_of<Operands>(slots[4 * (column + right_column) + part]);
      for (int deep = 0; deep < 2; ++deep)
        for (int down = 0; down < 2; ++down)
          sums[2 * down + right_column] =
              dp4a(left.words[2 * deep + down], right.words[4 + deep], sums[2 * down + right_column]);
    }
  }
}

inline float widen(float value) { return value; }
inline float widen(bfloat16 value) { return float_of(static_cast<u32>(value.bits) << 16); }
inline float widen(half value) {
  const u32 exponent = value.bits >> 10 & 31, fraction = value.bits & 1023;
  float size;
  if (exponent == 31)
    size = fraction == 0 ? INFINITY : NAN;
  else
    size = exponent == 0 ? std::ldexp(static_cast<float>(fraction), -24)
                         : std::ldexp(static_cast<float>(fraction + 1024), static_cast<int>(exponent) - 25);
  return value.bits & 0x8000 ? -size : size;
}

template <class Element>
inline Element narrow(float value);
template <>
inline float narrow<float>(float value) { return value; }
template <>
inline bfloat16 narrow<bfloat16>(float value) {
  const u32 bits = bits_of(value);
  if (std::isnan(value)) return {0x7fff};
  return {static_cast<u16>((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}
template <>
inline half narrow<half>(float value) {
  const u16 sign = static_cast<u16>(bits_of(value) >> 16 & 0x8000);
  const float size = std::fabs(value);
  if (std::isnan(value)) return {0x7fff};
  if (size >= 65520.0f) return {static_cast<u16>(sign | 0x7c00)};
  // Numbers of one exponent lie 2^(exponent - 10) apart, the smallest ones 2^-24.
  const int exponent = size < 6.103515625e-5f ? -14 : std::ilogb(size);
  const int steps = static_cast<int>(std::nearbyint(std::ldexp(size, 10 - exponent)));
  return {static_cast<u16>(sign | (((exponent + 14) << 10) + steps))};
}

}  // namespace lynceus
