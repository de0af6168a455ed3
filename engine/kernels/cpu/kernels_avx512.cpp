// The inner loops for AVX-512 with VNNI and VBMI: sixteen channels to a register.
#if defined(__x86_64__)
#include <immintrin.h>

#include "attention_math.h"

namespace lynceus {
namespace {

constexpr int kChannels = 16;
constexpr int kColumns = kTile / kChannels;
constexpr int kRow = kTile * kQuad;
// How far ahead a row's weights are asked for, in bytes: the processor does not see so many rows as streams.
constexpr int kAheadInRow = 2 * kBlock;
// And the 2-bit codes of a tile: decoding keeps it too busy to look far ahead by itself.
constexpr int kAheadInTile = 8192;

inline __m512i load64(const void* from) { return _mm512_loadu_si512(from); }
inline __m512i lanes(uint32_t value) { return _mm512_set1_epi32(static_cast<int>(value)); }

// Builds the windows of sixteen channels and hashes them.
template <bool kLong>
struct Decoder {
  __m512i order, mask;

  explicit Decoder(uint32_t window_mask) : mask(lanes(window_mask)) {
    // The channels' bytes stand at 16..31 with the ones before them in front; a lane takes its own and two older.
    alignas(64) uint8_t index[64];
    for (int i = 0; i < 64; ++i) index[i] = static_cast<uint8_t>(16 + i / 4 - i % 4);
    order = _mm512_load_si512(index);
  }

  // The hash word of column c before its fold.
  __m512i product(const uint8_t* codes, int c) const {
    const auto* own = reinterpret_cast<const __m128i*>(codes + c * kChannels);
    const __m256i bytes =
        c > 0 ? _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes + (c - 1) * kChannels))
              : _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(
                                            reinterpret_cast<const __m128i*>(codes + kTile - kChannels))),
                                        _mm_loadu_si128(own), 1);
    constexpr __mmask64 kTwoBytes = 0x3333333333333333u;
    __m512i window;
    if (kLong)
      window = _mm512_and_si512(_mm512_permutexvar_epi8(order, _mm512_castsi256_si512(bytes)), mask);
    else
      window = _mm512_maskz_permutexvar_epi8(kTwoBytes, order, _mm512_castsi256_si512(bytes));
    return _mm512_mullo_epi32(window, lanes(layout::k_MULTIPLIER));
  }

  static __m512i values(__m512i product) {
    const __m512i nibbles = lanes(layout::k_NIBBLES);
    const __m512i t = _mm512_xor_si512(product, _mm512_srli_epi32(product, layout::k_FOLD));
    return _mm512_add_epi8(_mm512_and_si512(t, nibbles), _mm512_and_si512(_mm512_srli_epi32(t, 4), nibbles));
  }
};

inline bool is_long(uint32_t window_mask) { return window_mask > 0xffff; }

template <bool kLong>
void decode_windows(const uint8_t* codes, uint32_t window_mask, uint8_t* panel) {
  const Decoder<kLong> decoder(window_mask);
  for (int q = 0; q < kQuads; ++q, codes += kTile)
    unroll<kColumns>([&](auto c) LYNCEUS_INLINE {
      _mm512_storeu_si512(panel + (q * kColumns + c) * kChannels * kQuad, decoder.values(decoder.product(codes, c)));
    });
}

void decode(const uint8_t* codes, uint32_t window_mask, uint8_t* panel) {
  is_long(window_mask) ? decode_windows<true>(codes, window_mask, panel)
                       : decode_windows<false>(codes, window_mask, panel);
}

void unpack(const uint8_t* nibbles, uint8_t* panel) {
  const __m512i low = _mm512_set1_epi8(15);
  for (int pair = 0; pair < kQuads / 2; ++pair, nibbles += kRow, panel += 2 * kRow)
    for (int i = 0; i < kRow; i += 64) {
      const __m512i v = load64(nibbles + i);
      _mm512_storeu_si512(panel + i, _mm512_and_si512(v, low));
      _mm512_storeu_si512(panel + kRow + i, _mm512_and_si512(_mm512_srli_epi16(v, 4), low));
    }
}

// Sixteen rows of sixteen lanes, turned over its diagonal.
inline void turn(__m512i* r) {
  __m512i t[16];
  unroll<8>([&](auto i) LYNCEUS_INLINE {
    t[2 * i] = _mm512_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
    t[2 * i + 1] = _mm512_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
  });
  unroll<4>([&](auto i) LYNCEUS_INLINE {
    r[4 * i] = _mm512_unpacklo_epi64(t[4 * i], t[4 * i + 2]);
    r[4 * i + 1] = _mm512_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
    r[4 * i + 2] = _mm512_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]);
    r[4 * i + 3] = _mm512_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
  });
  unroll<2>([&](auto i) LYNCEUS_INLINE {
    unroll<4>([&](auto j) LYNCEUS_INLINE {
      t[8 * i + j] = _mm512_shuffle_i32x4(r[8 * i + j], r[8 * i + 4 + j], 0x88);
      t[8 * i + 4 + j] = _mm512_shuffle_i32x4(r[8 * i + j], r[8 * i + 4 + j], 0xdd);
    });
  });
  unroll<8>([&](auto j) LYNCEUS_INLINE {
    r[j] = _mm512_shuffle_i32x4(t[j], t[8 + j], 0x88);
    r[8 + j] = _mm512_shuffle_i32x4(t[j], t[8 + j], 0xdd);
  });
}

void transpose(const int8_t* weights, size_t stride, uint8_t* panel) {
  const __m512i sign = _mm512_set1_epi8(-128);
  for (int first = 0; first < kTile; first += kChannels)
    for (int k = 0; k < kBlock; k += 64) {
      __m512i rows[16];
      unroll<16>([&](auto i) LYNCEUS_INLINE {
        const int8_t* from = weights + (first + i) * stride + k;
        _mm_prefetch(from + kAheadInRow, _MM_HINT_T0);
        rows[i] = _mm512_xor_si512(load64(from), sign);
      });
      turn(rows);
      unroll<16>([&](auto i) LYNCEUS_INLINE {
        _mm512_storeu_si512(panel + (k / kQuad + i) * kRow + first * kQuad, rows[i]);
      });
    }
}

inline __m512i broadcast(const int8_t* quad) {
  int32_t value;
  std::memcpy(&value, quad, sizeof value);
  return _mm512_set1_epi32(value);
}

// sum += weights . values. Written out because GCC 12 copies a sum of the intrinsic through other registers, and with
// more than sixteen sums through memory, at a third of the speed.
inline void dot(__m512i& sum, __m512i weights, __m512i values) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(weights), "v"(values));
}

inline void accumulate(__m512i sum, __m512 scale, float* to) {
  _mm512_storeu_ps(to, _mm512_add_ps(_mm512_loadu_ps(to), _mm512_mul_ps(_mm512_cvtepi32_ps(sum), scale)));
}

template <int kCount>
void multiply_rows(const uint8_t* panel, int quads, const Rows& rows, const float* channel_scale, float* out) {
  constexpr int kPart = 4;
  const int8_t* values[kCount];
  unroll<kCount>([&](auto r) LYNCEUS_INLINE { values[r] = rows.values[r]; });
  for (int first = 0; first < kColumns; first += kPart) {
    __m512i sum[kCount][kPart];
    unroll<kCount>([&](auto r) LYNCEUS_INLINE { unroll<kPart>([&](auto c) LYNCEUS_INLINE { sum[r][c] = _mm512_set1_epi32(rows.start[r]); }); });
    const uint8_t* w = panel + first * kChannels * kQuad;
    for (int q = 0; q < quads; ++q, w += kRow) {
      __m512i weights[kPart];
      unroll<kPart>([&](auto c) LYNCEUS_INLINE { weights[c] = load64(w + 64 * c); });
      unroll<kCount>([&](auto r) LYNCEUS_INLINE {
        const __m512i value = broadcast(values[r] + q * kQuad);
        unroll<kPart>([&](auto c) LYNCEUS_INLINE { dot(sum[r][c], weights[c], value); });
      });
    }
    unroll<kCount>([&](auto r) LYNCEUS_INLINE {
      unroll<kPart>([&](auto c) LYNCEUS_INLINE {
        const int n = (first + c) * kChannels;
        __m512 scale = _mm512_set1_ps(rows.scale[r]);
        if (channel_scale != nullptr) scale = _mm512_mul_ps(_mm512_loadu_ps(channel_scale + n), scale);
        accumulate(sum[r][c], scale, out + r * kTile + n);
      });
    });
  }
}

void multiply(const uint8_t* panel, int quads, bool, const Rows& rows, int count, const float* channel_scale,
              float* out) {
  using Rows1to6 = void (*)(const uint8_t*, int, const Rows&, const float*, float*);
  constexpr Rows1to6 table[] = {multiply_rows<1>, multiply_rows<2>, multiply_rows<3>,
                                multiply_rows<4>, multiply_rows<5>, multiply_rows<6>};
  table[count - 1](panel, quads, rows, channel_scale, out);
}

// The two nibbles and their sum are not formed for one or two tokens: the bytes 16 u + l are multiplied as they stand,
// and so are their upper parts 16 u. What the first counts too much is 15 u, and dividing by 16 at the end is exact.
template <int kCount, bool kLong>
void multiply_decoded(const uint8_t* codes, uint32_t window_mask, const Rows& rows, float* out) {
  constexpr bool kApart = kCount <= 2;
  constexpr int kPart = kCount == 1 ? 8 : kCount <= 4 ? 4 : 2;
  constexpr int kXorThenAnd = 0x28;
  const Decoder<kLong> decoder(window_mask);
  const __m512i high = lanes(layout::k_NIBBLES << 4);
  unroll<kColumns / kPart>([&](auto part) LYNCEUS_INLINE {
    constexpr int first = part * kPart;
    __m512i sum[kCount][kPart], upper[kCount][kPart];
    unroll<kCount>([&](auto r) LYNCEUS_INLINE {
      unroll<kPart>([&](auto c) LYNCEUS_INLINE {
        sum[r][c] = _mm512_set1_epi32(rows.start[r]);
        upper[r][c] = _mm512_setzero_si512();
      });
    });
    for (int q = 0; q < kQuads; ++q) {
      __m512i values[kCount];
      if constexpr (part == 0) {
        _mm_prefetch(reinterpret_cast<const char*>(codes + q * kTile + kAheadInTile), _MM_HINT_T0);
        _mm_prefetch(reinterpret_cast<const char*>(codes + q * kTile + kAheadInTile + 64), _MM_HINT_T0);
      }
      unroll<kCount>([&](auto r) LYNCEUS_INLINE { values[r] = broadcast(rows.values[r] + q * kQuad); });
      unroll<kPart>([&](auto c) LYNCEUS_INLINE {
        const __m512i t = decoder.product(codes + q * kTile, first + c);
        if constexpr (kApart) {
          const __m512i folded = _mm512_srli_epi32(t, layout::k_FOLD);
          const __m512i whole = _mm512_xor_si512(t, folded);
          const __m512i above = _mm512_ternarylogic_epi32(t, folded, high, kXorThenAnd);
          unroll<kCount>([&](auto r) LYNCEUS_INLINE {
            dot(sum[r][c], whole, values[r]);
            dot(upper[r][c], above, values[r]);
          });
        } else {
          const __m512i weights = decoder.values(t);
          unroll<kCount>([&](auto r) LYNCEUS_INLINE { dot(sum[r][c], weights, values[r]); });
        }
      });
    }
    unroll<kCount>([&](auto r) LYNCEUS_INLINE {
      unroll<kPart>([&](auto c) LYNCEUS_INLINE {
        if constexpr (kApart) {
          const __m512i excess = _mm512_sub_epi32(upper[r][c], _mm512_srai_epi32(upper[r][c], 4));
          sum[r][c] = _mm512_sub_epi32(sum[r][c], excess);
        }
        accumulate(sum[r][c], _mm512_set1_ps(rows.scale[r]), out + r * kTile + (first + c) * kChannels);
      });
    });
  });
}

template <bool kLong>
void multiply_windows(const uint8_t* codes, uint32_t window_mask, const Rows& rows, int count, float* out) {
  using Rows1to8 = void (*)(const uint8_t*, uint32_t, const Rows&, float*);
  constexpr Rows1to8 table[] = {multiply_decoded<1, kLong>, multiply_decoded<2, kLong>, multiply_decoded<3, kLong>,
                                multiply_decoded<4, kLong>, multiply_decoded<5, kLong>, multiply_decoded<6, kLong>,
                                multiply_decoded<7, kLong>, multiply_decoded<8, kLong>};
  table[count - 1](codes, window_mask, rows, out);
}

void multiply_codes(const uint8_t* codes, uint32_t window_mask, const Rows& rows, int count, float* out) {
  is_long(window_mask) ? multiply_windows<true>(codes, window_mask, rows, count, out)
                       : multiply_windows<false>(codes, window_mask, rows, count, out);
}

template <int kCount>
void multiply_unpacked(const uint8_t* nibbles, const Rows& rows, const float* channel_scale, float* out) {
  constexpr int kPart = kCount <= 2 ? 8 : kCount <= 4 ? 4 : 2;
  const __m512i low = _mm512_set1_epi8(15);
  for (int first = 0; first < kColumns; first += kPart) {
    __m512i sum[kCount][kPart];
    unroll<kCount>([&](auto r) LYNCEUS_INLINE {
      unroll<kPart>([&](auto c) LYNCEUS_INLINE { sum[r][c] = lanes(static_cast<uint32_t>(rows.start[r])); });
    });
    const uint8_t* w = nibbles + first * kChannels * kQuad;
    for (int q = 0; q < kGroup / kQuad; q += 2, w += kRow) {
      __m512i even[kCount], odd[kCount];
      unroll<kCount>([&](auto r) LYNCEUS_INLINE {
        even[r] = broadcast(rows.values[r] + q * kQuad);
        odd[r] = broadcast(rows.values[r] + (q + 1) * kQuad);
      });
      unroll<kPart>([&](auto c) LYNCEUS_INLINE {
        const __m512i both = load64(w + 64 * c);
        const __m512i lower = _mm512_and_si512(both, low);
        const __m512i upper = _mm512_and_si512(_mm512_srli_epi16(both, 4), low);
        unroll<kCount>([&](auto r) LYNCEUS_INLINE {
          dot(sum[r][c], lower, even[r]);
          dot(sum[r][c], upper, odd[r]);
        });
      });
    }
    unroll<kCount>([&](auto r) LYNCEUS_INLINE {
      unroll<kPart>([&](auto c) LYNCEUS_INLINE {
        const int n = (first + c) * kChannels;
        const __m512 scale = _mm512_mul_ps(_mm512_loadu_ps(channel_scale + n), _mm512_set1_ps(rows.scale[r]));
        accumulate(sum[r][c], scale, out + r * kTile + n);
      });
    });
  }
}

void multiply_nibbles(const uint8_t* nibbles, const Rows& rows, int count, const float* channel_scale, float* out) {
  using Rows1to8 = void (*)(const uint8_t*, const Rows&, const float*, float*);
  constexpr Rows1to8 table[] = {multiply_unpacked<1>, multiply_unpacked<2>, multiply_unpacked<3>, multiply_unpacked<4>,
                                multiply_unpacked<5>, multiply_unpacked<6>, multiply_unpacked<7>, multiply_unpacked<8>};
  table[count - 1](nibbles, rows, channel_scale, out);
}

// The sums over the lanes of each of sixteen registers, in order.
inline __m512i sums_of(const __m512i* r) {
  __m512i fours[4];
  unroll<4>([&](auto i) LYNCEUS_INLINE {
    const __m512i* from = r + 4 * i;
    const __m512i first = _mm512_add_epi32(_mm512_unpacklo_epi32(from[0], from[1]), _mm512_unpackhi_epi32(from[0], from[1]));
    const __m512i last = _mm512_add_epi32(_mm512_unpacklo_epi32(from[2], from[3]), _mm512_unpackhi_epi32(from[2], from[3]));
    fours[i] = _mm512_add_epi32(_mm512_unpacklo_epi64(first, last), _mm512_unpackhi_epi64(first, last));
  });
  const auto halves = [](__m512i a, __m512i b) {
    return _mm512_add_epi32(_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xdd));
  };
  return halves(halves(fours[0], fours[1]), halves(fours[2], fours[3]));
}

// Row by row: so few rows at a time are streams that the processor sees.
void multiply_bytes(const int8_t* weights, size_t stride, const Token& token, float* out) {
  const __m512i sign = _mm512_set1_epi8(-128);
  for (int first = 0; first < kTile; first += kChannels) {
    const int8_t* strip = weights + first * stride;
    __m512 total = _mm512_setzero_ps();
    for (int block = 0; block < token.blocks; ++block) {
      const __m512i left = load64(token.values + block * kBlock), right = load64(token.values + block * kBlock + 64);
      __m512i sum[kChannels];
      unroll<kChannels>([&](auto i) LYNCEUS_INLINE {
        const int8_t* from = strip + i * stride + block * kBlock;
        sum[i] = _mm512_setzero_si512();
        dot(sum[i], _mm512_xor_si512(load64(from), sign), left);
        dot(sum[i], _mm512_xor_si512(load64(from + 64), sign), right);
      });
      const int32_t start = -128 * (token.sums[2 * block] + token.sums[2 * block + 1]);
      const __m512i whole = _mm512_add_epi32(sums_of(sum), lanes(static_cast<uint32_t>(start)));
      total = _mm512_add_ps(total, _mm512_mul_ps(_mm512_cvtepi32_ps(whole), _mm512_set1_ps(token.scale[block])));
    }
    _mm512_storeu_ps(out + first, total);
  }
}

void widen(const uint16_t* half, float* out) {
  for (int n = 0; n < kTile; n += kChannels)
    _mm512_storeu_ps(out + n, _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(half + n))));
}

}  // namespace

const Kernels kAvx512{"avx512",         6,        decode, unpack,     transpose, multiply, multiply_codes,
                      multiply_nibbles, multiply_bytes, quantize, swiglu, quick_gelu, dot, rotate, attend, widen};

}  // namespace lynceus
#endif
