// The inner loops, one table of them for each instruction set. All tables give the same bits: sums over a block of
// input rows are exact integers, and the floating-point steps between blocks have one order (see matrix.cpp).
#pragma once
#include <cstddef>
#include <cstdint>

#include "layout.h"

namespace lynceus {

constexpr int kTile = layout::k_SEGMENT;          // output channels that are computed together
constexpr int kBlock = layout::k_HADAMARD_BLOCK;  // input rows that share one scale of an activation
constexpr int kQuad = layout::k_ROWS_PER_BYTE;    // input rows that one 32-bit lane holds
constexpr int kQuads = kBlock / kQuad;
constexpr int kGroup = 64;                        // input rows that share one scale of a 4-bit weight
constexpr int kPanel = kTile * kBlock;            // bytes of an unpacked block: [kQuads][kTile][kQuad], unsigned
constexpr int kMaxRows = 8;
constexpr int kTogether = 4;  // rows of `dot`, so that one sum need not wait for the last

// Up to kMaxRows tokens of one block: their int8 values, what the sum starts from, and their scales.
struct Rows {
  const int8_t* values[kMaxRows];
  int32_t start[kMaxRows];
  float scale[kMaxRows];
};

// All blocks of one token: int8 values and scales, and the sums of each kGroup values.
struct Token {
  const int8_t* values;
  const float* scale;
  const int32_t* sums;
  int blocks;
};

// One new token of a text: `queries` heads of `size` numbers, which share a key head; what they see lies in `slots`.
struct Attend {
  const float* query;    // [queries][size]
  const float* keys;     // of slot 0; those of the next are `stride` numbers on
  const float* values;   // as the keys
  const int64_t* slots;  // [length]
  size_t stride;
  int length, queries, size;
  float* weights;        // [queries][length rounded up to whole vectors], scratch
  float* out;            // [queries][size]
};

struct Kernels {
  const char* name;
  int rows_at_once;  // tokens that `multiply` takes together

  // 2-bit codes [kQuads][kTile] to a panel.
  void (*decode)(const uint8_t* codes, uint32_t window_mask, uint8_t* panel);
  // 4-bit codes [kQuads / 2][kTile][kQuad] to a panel: low nibbles are even quads, high nibbles odd ones.
  void (*unpack)(const uint8_t* nibbles, uint8_t* panel);
  // int8 weights, kTile rows of kBlock bytes at a stride, to a panel with 128 added.
  void (*transpose)(const int8_t* weights, size_t stride, uint8_t* panel);
  // out[row][channel] += (start[row] + panel . values[row]) * scale[row] (* channel_scale[channel] where given).
  // Values of a panel that are above 127 count as `wide`.
  void (*multiply)(const uint8_t* panel, int quads, bool wide, const Rows& rows, int count,
                   const float* channel_scale, float* out);
  // `decode` and `multiply` in one, for up to kMaxRows tokens; null where it would not be faster.
  void (*multiply_codes)(const uint8_t* codes, uint32_t window_mask, const Rows& rows, int count, float* out);
  // `unpack` and `multiply` in one, for the kGroup input rows of one scale and up to kMaxRows tokens; may be null.
  void (*multiply_nibbles)(const uint8_t* nibbles, const Rows& rows, int count, const float* channel_scale,
                           float* out);
  // `transpose` and `multiply` in one, for all blocks of a tile and one token; may be null.
  void (*multiply_bytes)(const int8_t* weights, size_t stride, const Token& token, float* out);
  // One block of kBlock activations, rotated where signs are given, to int8 with one scale and a sum for each kGroup.
  void (*quantize)(const float* x, const int8_t* signs, int8_t* values, float* scale, int32_t* sums);
  // silu(gate) * up for kTile channels.
  void (*swiglu)(const float* gate, const float* up, float* out);
  // x * sigmoid(1.702 x) for kTile channels.
  void (*quick_gelu)(const float* x, float* out);
  // out[i] = x . rows[i] for kTogether rows of `size` numbers, in single precision.
  void (*dot)(const float* x, const float* const* rows, int size, float* out);
  // One head of `size` numbers turned by its angles: the pairs are neighbours, or lie half a head apart.
  void (*rotate)(const float* x, const float* cosines, const float* sines, int size, bool neighbours, float* out);
  // What the queries that share one key head see of a text.
  void (*attend)(const Attend& task);
  // kTile half-precision numbers to single precision.
  void (*widen)(const uint16_t* half, float* out);
};

extern const Kernels kPortable;
#if defined(__x86_64__)
extern const Kernels kAvx2;
extern const Kernels kAvx512;
#endif

// The table of a name, or the best that this processor runs where the name is empty; null where it can't run it.
const Kernels* kernels(const char* name);

}  // namespace lynceus
