// The 2-bit code: from the windows of three bytes to the four values that the newest byte stands for.
#pragma once
#include <activations.cuh>

namespace lynceus {

constexpr u32 kWindowMask = (1u << WINDOW_BITS) - 1;
constexpr int kTileBytes = kQuads * kTile;  // of a tile's codes for one block of input rows: [kQuads][kTile]
constexpr u32 kEveryByte = 0x01010101u;

static_assert(kBlock * 2 * layout::k_CENTRE < 1 << 22, "a block's sums are exact in single precision");

// Channel i of four, i < 4: `low` holds the bytes of the four channels before, `high` their own.
__device__ inline u32 window_of(u32 low, u32 high, int i) {
  return permute(low, high, (4 + i) | (3 + i) << 4 | (2 + i) << 8) & kWindowMask;
}

// Four values 0..30, one a byte.
__device__ inline u32 values_of(u32 window) {
  u32 t = window * layout::k_MULTIPLIER;
  t ^= t >> layout::k_FOLD;
  return (t & layout::k_NIBBLES) + (t >> 4 & layout::k_NIBBLES);
}

// The values as signed bytes around 0, without a carry from byte to byte.
__device__ inline u32 centred(u32 values) {
  constexpr u32 kTop = 0x80 * kEveryByte;
  return (values + (kTop - layout::k_CENTRE * kEveryByte)) ^ kTop;
}

}  // namespace lynceus
