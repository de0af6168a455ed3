// Floating-point steps that every instruction set shares, in the compiler's portable vectors. Included once by each
// kernels_*.cpp and compiled for its instruction set; nothing here may be contracted to fused multiply-adds, which
// would round differently.
#pragma once
#include <cstdint>
#include <cstring>

#include "kernels.h"

namespace lynceus {
namespace {

constexpr int kLanes = 16;
constexpr int kVectors = kBlock / kLanes;
typedef float Floats __attribute__((vector_size(4 * kLanes), aligned(4)));
typedef int32_t Ints __attribute__((vector_size(4 * kLanes), aligned(4)));

constexpr float kRounder = 12582912.0f;       // 1.5 * 2^23: adding and subtracting it rounds half to even
constexpr float kSmallest = 1e-30f;           // a block whose largest value is below this counts as zero
constexpr float kHadamardScale = 0.08838834764831845f;  // 128^-0.5

template <int kValue>
struct Index {
  constexpr operator int() const { return kValue; }
};

// body(Index<0>), body(Index<1>), ... body(Index<kCount - 1>): a loop whose variable is a constant, so that arrays
// indexed by it are kept in registers.
#define LYNCEUS_INLINE __attribute__((always_inline))
template <int kCount, class Body>
LYNCEUS_INLINE inline void unroll(Body body) {
  if constexpr (kCount > 0) {
    unroll<kCount - 1>(body);
    body(Index<kCount - 1>{});
  }
}

template <class Vector, class T>
inline void load(Vector& v, const T* from) { std::memcpy(&v, from, sizeof v); }

template <class Vector, class T>
inline void store(T* to, const Vector& v) { std::memcpy(to, &v, sizeof v); }

// One butterfly between lanes i and i + h of a vector.
#define LYNCEUS_BUTTERFLY(h, ...)                                                                        \
  inline void butterfly_##h(Floats& v) {                                                                 \
    const Floats other = __builtin_shufflevector(v, v, __VA_ARGS__);                                     \
    Ints lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};                                  \
    const Ints flip = (lane & h) << (31 - __builtin_ctz(h));                                             \
    v = other + (Floats)((Ints)v ^ flip);                                                                \
  }
LYNCEUS_BUTTERFLY(1, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14)
LYNCEUS_BUTTERFLY(2, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13)
LYNCEUS_BUTTERFLY(4, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11)
LYNCEUS_BUTTERFLY(8, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7)
#undef LYNCEUS_BUTTERFLY

// Orthonormal Hadamard transform of 128 values, in the order of strides 1, 2, 4, ... 64.
inline void hadamard(Floats* v) {
  for (int i = 0; i < kVectors; ++i) {
    butterfly_1(v[i]);
    butterfly_2(v[i]);
    butterfly_4(v[i]);
    butterfly_8(v[i]);
  }
  for (int h = 1; h < kVectors; h *= 2)
    for (int i = 0; i < kVectors; ++i)
      if (!(i & h)) {
        const Floats a = v[i], b = v[i + h];
        v[i] = a + b;
        v[i + h] = a - b;
      }
  for (int i = 0; i < kVectors; ++i) v[i] = v[i] * kHadamardScale;
}

// As integers, so that a number which is none is the largest of all and spoils the scale: it can't go unnoticed.
inline float largest(const Floats* v) {
  Ints most = {};
  for (int i = 0; i < kVectors; ++i) {
    const Ints bits = (Ints)v[i] & 0x7fffffff;
    most = bits > most ? bits : most;
  }
  int32_t lanes[kLanes], found = 0;
  store(lanes, most);
  for (int i = 0; i < kLanes; ++i) found = lanes[i] > found ? lanes[i] : found;
  float value;
  std::memcpy(&value, &found, sizeof value);
  return value;
}

void quantize(const float* x, const int8_t* signs, int8_t* values, float* scale, int32_t* sums) {
  typedef int8_t Bytes __attribute__((vector_size(kLanes), aligned(1)));
  Floats v[kVectors];
  for (int i = 0; i < kVectors; ++i) load(v[i], x + i * kLanes);
  if (signs != nullptr) {
    for (int i = 0; i < kVectors; ++i) {
      Bytes sign;
      load(sign, signs + i * kLanes);
      v[i] = v[i] * __builtin_convertvector(sign, Floats);
    }
    hadamard(v);
  }
  const float most = largest(v);
  const float inverse = most >= kSmallest ? 127.0f / most : 0.0f;
  *scale = most / 127.0f;
  for (int group = 0; group < kBlock / kGroup; ++group) {
    Ints total = {};
    for (int i = group * kGroup / kLanes; i < (group + 1) * kGroup / kLanes; ++i) {
      const Ints rounded = __builtin_convertvector((v[i] * inverse + kRounder) - kRounder, Ints);
      total += rounded;
      store(values + i * kLanes, __builtin_convertvector(rounded, Bytes));
    }
    sums[group] = 0;
    for (int lane = 0; lane < kLanes; ++lane) sums[group] += total[lane];
  }
}

// e^x by 2^n times a polynomial of the rest (Cephes, S. Moshier, expf), within 2 units in the last place.
inline Floats exponential(Floats x) {
  const Floats low = Floats{} - 87.0f, high = Floats{} + 88.0f;
  x = x < low ? low : x;
  x = x > high ? high : x;
  const Floats n = (x * 1.44269504088896341f + kRounder) - kRounder;
  const Floats r = x - n * 0.693359375f - n * -2.12194440e-4f;
  Floats p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  const Ints power = (__builtin_convertvector(n, Ints) + 127) << 23;
  return p * (Floats)power;
}

void swiglu(const float* gate, const float* up, float* out) {
  for (int c = 0; c < kTile; c += kLanes) {
    Floats g, u;
    load(g, gate + c);
    load(u, up + c);
    store(out + c, g / (exponential(-g) + 1.0f) * u);
  }
}

void quick_gelu(const float* x, float* out) {
  for (int c = 0; c < kTile; c += kLanes) {
    Floats v;
    load(v, x + c);
    store(out + c, v / (exponential(v * -1.702f) + 1.0f));
  }
}

void rotate(const float* x, const float* cosines, const float* sines, int size, bool neighbours, float* out) {
  const int apart = neighbours ? 1 : size / 2;
  for (int pair = 0; pair < size / 2; ++pair) {
    const int a = neighbours ? 2 * pair : pair, b = a + apart;
    const float first = x[a], second = x[b];
    out[a] = first * cosines[a] + -second * sines[a];
    out[b] = second * cosines[b] + first * sines[b];
  }
}

inline float total(const Floats& v) {
  float lanes[kLanes];
  store(lanes, v);
  for (int half = kLanes / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  return lanes[0];
}

// What does not fill a vector is added one by one.
void dot(const float* x, const float* const* rows, int size, float* out) {
  const int whole = size / kLanes * kLanes;
  Floats sum[kTogether] = {};
  for (int i = 0; i < whole; i += kLanes) {
    Floats a, b;
    load(a, x + i);
    unroll<kTogether>([&](auto row) LYNCEUS_INLINE {
      load(b, rows[row] + i);
      sum[row] += a * b;
    });
  }
  for (int row = 0; row < kTogether; ++row) {
    out[row] = total(sum[row]);
    for (int i = whole; i < size; ++i) out[row] += x[i] * rows[row][i];
  }
}

}  // namespace
}  // namespace lynceus
