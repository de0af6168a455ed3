// The inner loops in plain C++, for every processor.
#include "attention_math.h"

namespace lynceus {
namespace {

void decode(const uint8_t* codes, uint32_t window_mask, uint8_t* panel) {
  for (int q = 0; q < kQuads; ++q, codes += kTile)
    for (int n = 0; n < kTile; ++n, panel += kQuad) {
      const uint32_t older = codes[(n + kTile - 1) % kTile], oldest = codes[(n + kTile - 2) % kTile];
      uint32_t t = ((codes[n] | older << 8 | oldest << 16) & window_mask) * layout::k_MULTIPLIER;
      t ^= t >> layout::k_FOLD;
      t = (t & layout::k_NIBBLES) + (t >> 4 & layout::k_NIBBLES);
      for (int i = 0; i < kQuad; ++i) panel[i] = static_cast<uint8_t>(t >> 8 * i);
    }
}

void unpack(const uint8_t* nibbles, uint8_t* panel) {
  constexpr int kRow = kTile * kQuad;
  for (int pair = 0; pair < kQuads / 2; ++pair, nibbles += kRow, panel += 2 * kRow)
    for (int i = 0; i < kRow; ++i) {
      panel[i] = nibbles[i] & 15;
      panel[i + kRow] = nibbles[i] >> 4;
    }
}

void transpose(const int8_t* weights, size_t stride, uint8_t* panel) {
  for (int n = 0; n < kTile; ++n, weights += stride)
    for (int k = 0; k < kBlock; ++k)
      panel[(k / kQuad * kTile + n) * kQuad + k % kQuad] = static_cast<uint8_t>(weights[k] + 128);
}

void multiply(const uint8_t* panel, int quads, bool, const Rows& rows, int count, const float* channel_scale,
              float* out) {
  for (int row = 0; row < count; ++row, out += kTile) {
    int32_t sum[kTile];
    for (int n = 0; n < kTile; ++n) sum[n] = rows.start[row];
    for (int q = 0; q < quads; ++q) {
      const int8_t* a = rows.values[row] + q * kQuad;
      const uint8_t* w = panel + q * kTile * kQuad;
      for (int n = 0; n < kTile; ++n, w += kQuad) sum[n] += w[0] * a[0] + w[1] * a[1] + w[2] * a[2] + w[3] * a[3];
    }
    for (int n = 0; n < kTile; ++n) {
      const float scale = channel_scale == nullptr ? rows.scale[row] : channel_scale[n] * rows.scale[row];
      out[n] = out[n] + static_cast<float>(sum[n]) * scale;
    }
  }
}

float widen_one(uint16_t half) {
  const uint32_t sign = (half & 0x8000u) << 16, exponent = half >> 10 & 31, fraction = half & 1023;
  uint32_t bits = sign | (exponent + 112) << 23 | fraction << 13;
  if (exponent == 31) bits = sign | 0x7f800000u | fraction << 13;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  if (exponent == 0) {
    value = static_cast<float>(fraction) * 5.9604644775390625e-8f;  // 2^-24, the step of subnormal numbers
    return sign != 0 ? -value : value;
  }
  return value;
}

void widen(const uint16_t* half, float* out) {
  for (int n = 0; n < kTile; ++n) out[n] = widen_one(half[n]);
}

}  // namespace

const Kernels kPortable{"portable", kMaxRows, decode, unpack, transpose, multiply, nullptr,
                        nullptr, nullptr, quantize, swiglu, quick_gelu, dot, rotate, attend, widen};

}  // namespace lynceus
