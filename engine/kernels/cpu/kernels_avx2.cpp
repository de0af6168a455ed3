// The inner loops for AVX2 with FMA and F16C: eight channels to a register.
#if defined(__x86_64__)
#include <immintrin.h>

#include "attention_math.h"

namespace lynceus {
namespace {

constexpr int kChannels = 8;
constexpr int kRow = kTile * kQuad;

inline __m256i load32(const void* from) { return _mm256_loadu_si256(static_cast<const __m256i*>(from)); }
inline void store32(void* to, __m256i v) { _mm256_storeu_si256(static_cast<__m256i*>(to), v); }

void decode(const uint8_t* codes, uint32_t window_mask, uint8_t* panel) {
  // Bytes of eight channels stand at 8..15 with the ones before them in front; a lane takes its own and two older.
  const __m256i order = _mm256_setr_epi8(8, 7, 6, -1, 9, 8, 7, -1, 10, 9, 8, -1, 11, 10, 9, -1,  //
                                         12, 11, 10, -1, 13, 12, 11, -1, 14, 13, 12, -1, 15, 14, 13, -1);
  const __m256i mask = _mm256_set1_epi32(static_cast<int>(window_mask));
  const __m256i multiplier = _mm256_set1_epi32(layout::k_MULTIPLIER);
  const __m256i nibbles = _mm256_set1_epi32(layout::k_NIBBLES);
  for (int q = 0; q < kQuads; ++q, codes += kTile)
    for (int n = 0; n < kTile; n += kChannels, panel += kChannels * kQuad) {
      const auto* own = reinterpret_cast<const __m128i*>(codes + n);
      const auto* before = reinterpret_cast<const __m128i*>(codes + (n == 0 ? kTile - kChannels : n - kChannels));
      const __m128i bytes = _mm_unpacklo_epi64(_mm_loadl_epi64(before), _mm_loadl_epi64(own));
      __m256i t = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(bytes), order);
      t = _mm256_mullo_epi32(_mm256_and_si256(t, mask), multiplier);
      t = _mm256_xor_si256(t, _mm256_srli_epi32(t, layout::k_FOLD));
      const __m256i high = _mm256_and_si256(_mm256_srli_epi32(t, 4), nibbles);
      store32(panel, _mm256_add_epi8(_mm256_and_si256(t, nibbles), high));
    }
}

void unpack(const uint8_t* nibbles, uint8_t* panel) {
  const __m256i low = _mm256_set1_epi8(15);
  for (int pair = 0; pair < kQuads / 2; ++pair, nibbles += kRow, panel += 2 * kRow)
    for (int i = 0; i < kRow; i += 32) {
      const __m256i v = load32(nibbles + i);
      store32(panel + i, _mm256_and_si256(v, low));
      store32(panel + kRow + i, _mm256_and_si256(_mm256_srli_epi16(v, 4), low));
    }
}

void transpose(const int8_t* weights, size_t stride, uint8_t* panel) {
  for (int n = 0; n < kTile; ++n, weights += stride, panel += kQuad)
    for (int q = 0; q < kQuads; ++q) {
      uint32_t quad;
      std::memcpy(&quad, weights + q * kQuad, sizeof quad);
      quad ^= 0x80808080u;
      std::memcpy(panel + q * kRow, &quad, sizeof quad);
    }
}

// Four products to a lane. Sums of two products must fit 16 bits: small weights do as they are, wide ones are taken
// as a magnitude, and the activation takes their sign.
template <bool kWide>
inline __m256i dot(__m256i weights, __m256i values) {
  const __m256i ones = _mm256_set1_epi16(1);
  if (!kWide) return _mm256_madd_epi16(_mm256_maddubs_epi16(weights, values), ones);
  const __m256i centred = _mm256_xor_si256(weights, _mm256_set1_epi8(-128));
  const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(centred), _mm256_sign_epi8(values, centred));
  return _mm256_madd_epi16(pairs, ones);
}

template <int kCount, bool kWide>
void multiply_rows(const uint8_t* panel, int quads, const Rows& rows, const float* channel_scale, float* out) {
  constexpr int kColumns = 4;
  for (int first = 0; first < kTile; first += kColumns * kChannels) {
    __m256i sum[kCount][kColumns];
    unroll<kCount>([&](auto r) LYNCEUS_INLINE {
      unroll<kColumns>([&](auto c) LYNCEUS_INLINE { sum[r][c] = _mm256_set1_epi32(kWide ? 0 : rows.start[r]); });
    });
    for (int q = 0; q < quads; ++q)
      unroll<kCount>([&](auto r) LYNCEUS_INLINE {
        int32_t quad;
        std::memcpy(&quad, rows.values[r] + q * kQuad, sizeof quad);
        const __m256i values = _mm256_set1_epi32(quad);
        unroll<kColumns>([&](auto c) LYNCEUS_INLINE {
          const __m256i weights = load32(panel + q * kRow + (first + c * kChannels) * kQuad);
          sum[r][c] = _mm256_add_epi32(sum[r][c], dot<kWide>(weights, values));
        });
      });
    unroll<kCount>([&](auto r) LYNCEUS_INLINE {
      unroll<kColumns>([&](auto c) LYNCEUS_INLINE {
        const int n = first + c * kChannels;
        __m256 scale = _mm256_set1_ps(rows.scale[r]);
        if (channel_scale != nullptr) scale = _mm256_mul_ps(_mm256_loadu_ps(channel_scale + n), scale);
        float* to = out + r * kTile + n;
        const __m256 more = _mm256_mul_ps(_mm256_cvtepi32_ps(sum[r][c]), scale);
        _mm256_storeu_ps(to, _mm256_add_ps(_mm256_loadu_ps(to), more));
      });
    });
  }
}

void multiply(const uint8_t* panel, int quads, bool wide, const Rows& rows, int count, const float* channel_scale,
              float* out) {
  if (wide)
    count == 2 ? multiply_rows<2, true>(panel, quads, rows, channel_scale, out)
               : multiply_rows<1, true>(panel, quads, rows, channel_scale, out);
  else
    count == 2 ? multiply_rows<2, false>(panel, quads, rows, channel_scale, out)
               : multiply_rows<1, false>(panel, quads, rows, channel_scale, out);
}

void widen(const uint16_t* half, float* out) {
  for (int n = 0; n < kTile; n += kChannels)
    _mm256_storeu_ps(out + n, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(half + n))));
}

}  // namespace

const Kernels kAvx2{"avx2", 2, decode, unpack, transpose, multiply, nullptr,
                    nullptr, nullptr, quantize, swiglu, quick_gelu, dot, rotate, attend, widen};

}  // namespace lynceus
#endif
