// Activations in int8, by a warp for each block of 128 values: the same steps in the same order as on the CPU, so
// that the same bits come out.
#pragma once
#include <intrinsics.cuh>
#include <layout.cuh>

namespace lynceus {

constexpr int kTile = layout::k_SEGMENT;          // output channels that are computed together
constexpr int kBlock = layout::k_HADAMARD_BLOCK;  // input rows that share one scale of an activation
constexpr int kQuad = layout::k_ROWS_PER_BYTE;    // input rows that one 32-bit word holds
constexpr int kQuads = kBlock / kQuad;
constexpr int kLargest = 127;

static_assert(kBlock == 4 * kWarp && kTile == kBlock, "a lane holds four values of a block");

// A lane's values 4 lane .. 4 lane + 3 of a block.
struct Four {
  float v[4];
};

template <class Element>
struct alignas(4 * sizeof(Element)) FourOf {
  Element v[4];
};

// Four neighbouring values, at an address aligned to all four.
template <class Element>
__device__ inline Four load_four(const Element* from) {
  const FourOf<Element> packed = *reinterpret_cast<const FourOf<Element>*>(from);
  return {widen(packed.v[0]), widen(packed.v[1]), widen(packed.v[2]), widen(packed.v[3])};
}

template <class Element>
__device__ inline void store_four(Element* to, const Four& four) {
  FourOf<Element> packed;
  for (int i = 0; i < 4; ++i) packed.v[i] = narrow<Element>(four.v[i]);
  *reinterpret_cast<FourOf<Element>*>(to) = packed;
}

__device__ inline void butterfly(float& first, float& second) {
  const float sum = first + second, difference = first - second;
  first = sum;
  second = difference;
}

// The orthonormal Hadamard transform of a block, in the order of strides 1, 2, 4 ... 64.
__device__ inline void hadamard(Four& x) {
  constexpr float kScale = 0.08838834764831845f;  // 128^-0.5
  butterfly(x.v[0], x.v[1]);
  butterfly(x.v[2], x.v[3]);
  butterfly(x.v[0], x.v[2]);
  butterfly(x.v[1], x.v[3]);
#pragma unroll
  for (int stride = 1; stride < kWarp; stride *= 2) {
    const bool second = lane_id() & stride;
    for (int i = 0; i < 4; ++i) {
      const float other = shuffle_xor(x.v[i], stride);
      x.v[i] = second ? other - x.v[i] : x.v[i] + other;
    }
  }
  for (int i = 0; i < 4; ++i) x.v[i] = x.v[i] * kScale;
}

__device__ inline void flip_signs(Four& x, const i8* signs) {
  for (int i = 0; i < 4; ++i) x.v[i] = x.v[i] * static_cast<float>(signs[4 * lane_id() + i]);
}

// A block to int8 values [128] and its scale, rotated first where signs [128] are given. The largest is found as an
// integer, so that a number that is none is the largest of all and spoils the scale: it can't go unnoticed.
__device__ inline void quantize_block(Four x, const i8* signs, i8* values, float* scale) {
  constexpr float kSmallest = 1e-30f;  // a block whose largest value is below this counts as zero
  if (signs != nullptr) {
    flip_signs(x, signs);
    hadamard(x);
  }
  u32 most_bits = 0;
  for (int i = 0; i < 4; ++i) {
    const u32 size = bits_of(x.v[i]) & 0x7fffffffu;
    most_bits = size > most_bits ? size : most_bits;
  }
  const float most = float_of(largest_of_warp(most_bits));
  const float inverse = most >= kSmallest ? static_cast<float>(kLargest) / most : 0.0f;
  u32 packed = 0;
  for (int i = 0; i < 4; ++i) packed |= static_cast<u32>(nearest(x.v[i] * inverse) & 0xff) << 8 * i;
  reinterpret_cast<u32*>(values)[lane_id()] = packed;
  if (lane_id() == 0) *scale = most / static_cast<float>(kLargest);
}

// e^x by 2^n times a polynomial of the rest (Cephes, S. Moshier, expf), within 2 units in the last place.
__device__ inline float exponential(float x) {
  x = x < -87.0f ? -87.0f : x;
  x = x > 88.0f ? 88.0f : x;
  constexpr float kRounder = 12582912.0f;  // 1.5 * 2^23: adding and subtracting it rounds half to even
  const float n = (x * 1.44269504088896341f + kRounder) - kRounder;
  const float r = x - n * 0.693359375f - n * -2.12194440e-4f;
  float p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  return p * float_of(static_cast<u32>(nearest(n) + 127) << 23);
}

// silu(gate) * up.
__device__ inline float swiglu(float gate, float up) { return gate / (exponential(-gate) + 1.0f) * up; }

__device__ inline Four swiglu(const Four& gate, const Four& up) {
  Four out;
  for (int i = 0; i < 4; ++i) out.v[i] = swiglu(gate.v[i], up.v[i]);
  return out;
}

}  // namespace lynceus
