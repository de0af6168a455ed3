// Attention of running texts, one new token each, over keys and values in blocks anywhere in a pool; and rotary
// positions.
#pragma once
#include "kernels.h"
#include "pool.h"

namespace lynceus {

// n texts, H query heads, G key heads, D numbers of a head, B slots of the longest.
struct Running {
  const float* queries;    // [n][H][D]
  const float* keys;       // [slots][G][D]
  const float* values;     // as the keys
  const int64_t* slots;    // [n][B]
  const int64_t* lengths;  // [n], how many of its slots a text sees
  int texts, heads, key_heads, size, width;
};

// out [n][H][D].
void attend(const Kernels& kernels, const Pool& pool, const Running& running, float* out);

// T tokens with heads of D numbers, which lie `stride` numbers apart from token to token.
struct Heads {
  const float* x;         // [T][heads][D]
  const float* cosines;   // [T][D]
  const float* sines;     // [T][D]
  size_t stride;
  int tokens, heads, size;
  bool neighbours;        // whether a pair's two numbers do, or else lie half a head apart
};

// Rotary positions: out [T][heads][D].
void rotate(const Kernels& kernels, const Pool& pool, const Heads& heads, float* out);

}  // namespace lynceus
