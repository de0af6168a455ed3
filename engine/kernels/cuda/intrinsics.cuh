// What a GPU has and C++ has not: the only header with inline PTX, and the only one that tests replace. It includes
// nothing, because the run-time compiler has no host headers. Every warp-wide function is called by all 32 lanes.
#pragma once

namespace lynceus {

typedef signed char i8;
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

constexpr int kWarp = 32;
constexpr u32 kAllLanes = 0xffffffffu;

struct half { u16 bits; };
struct bfloat16 { u16 bits; };

__device__ inline int lane_id() { return threadIdx.x % kWarp; }
__device__ inline int warp_id() { return threadIdx.x / kWarp; }
__device__ inline int warps() { return blockDim.x / kWarp; }

// The thread block's dynamic shared memory.
__device__ inline u8* shared_memory() {
  extern __shared__ __align__(128) u8 lynceus_shared[];
  return lynceus_shared;
}

__device__ inline void sync_block() { __syncthreads(); }
__device__ inline void sync_warp() { __syncwarp(); }

template <class T>
__device__ inline T shuffle(T value, int lane) { return __shfl_sync(kAllLanes, value, lane); }
template <class T>
__device__ inline T shuffle_xor(T value, int mask) { return __shfl_xor_sync(kAllLanes, value, mask); }
__device__ inline u32 largest_of_warp(u32 value) { return __reduce_max_sync(kAllLanes, value); }
// The lanes that hold the same value, as a bit mask.
__device__ inline u32 lanes_alike(u32 value) { return __match_any_sync(kAllLanes, value); }
__device__ inline int bits_set(u32 mask) { return __popc(mask); }
__device__ inline int highest_bit(u32 mask) { return 31 - __clz(mask); }

__device__ inline u32 bits_of(float value) { return __float_as_uint(value); }
__device__ inline float float_of(u32 bits) { return __uint_as_float(bits); }
// Half to even; not a number becomes 0.
__device__ inline int nearest(float value) { return __float2int_rn(value); }
__device__ inline float power_of_e(float value) { return expf(value); }

// a.x b.x + a.y b.y + a.z b.z + a.w b.w + sum over signed bytes.
__device__ inline int dp4a(u32 a, u32 b, int sum) {
  return __dp4a(static_cast<int>(a), static_cast<int>(b), sum);
}
// Four of the bytes 0-3 of `low` and 4-7 of `high`, chosen by the nibbles of `selector`.
__device__ inline u32 permute(u32 low, u32 high, u32 selector) { return __byte_perm(low, high, selector); }

// Makes the compiler believe that the value may have changed, so that it does not keep what was computed from it.
__device__ inline void forget(u32& value) { asm volatile("" : "+r"(value)); }

// Data that is read once: it is the first to leave the caches.
__device__ inline uint4 load_stream(const void* from) { return __ldcs(static_cast<const uint4*>(from)); }
// Data that another multiprocessor may have written in this launch: not from the first cache.
template <class T>
__device__ inline T load_fresh(const T* from) { return __ldcg(from); }

__device__ inline int atomic_add(int* to, int value) { return atomicAdd(to, value); }
__device__ inline int load_volatile(const int* from) { return *static_cast<const volatile int*>(from); }
// What this thread wrote before is seen by all before what it writes after.
__device__ inline void fence() { __threadfence(); }
// Lets others run, in a loop that waits for them.
__device__ inline void relax() { __nanosleep(40); }

// Copies to shared memory that go on while the threads compute.
template <int kBytes>
__device__ inline void copy_async(void* to, const void* from) {
  const u32 address = static_cast<u32>(__cvta_generic_to_shared(to));
  if constexpr (kBytes == 16)
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(address), "l"(from) : "memory");
  else
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" ::"r"(address), "l"(from), "n"(kBytes) : "memory");
}
// Closes the group of the copies since the last.
__device__ inline void copy_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits until at most `kPending` groups of this thread are under way.
template <int kPending>
__device__ inline void copy_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

// sums += a b for signed bytes: a is 16 x 32, b 32 x 8. Of lane 4g + q, a[0] is row g, columns 4q..4q+3; a[1] row
// g + 8; a[2] and a[3] the same 16 columns on; b[0] is column g, rows 4q..4q+3, b[1] 16 rows on; sums[0] and [1] are
// row g, columns 2q and 2q + 1; sums[2] and [3] row g + 8.
__device__ inline void multiply_add(int (&sums)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+r"(sums[0]), "+r"(sums[1]), "+r"(sums[2]), "+r"(sums[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

__device__ inline float widen(float value) { return value; }
__device__ inline float widen(half value) {
  float wide;
  asm("cvt.f32.f16 %0, %1;" : "=f"(wide) : "h"(value.bits));
  return wide;
}
__device__ inline float widen(bfloat16 value) { return float_of(static_cast<u32>(value.bits) << 16); }

template <class Element>
__device__ inline Element narrow(float value);
template <>
__device__ inline float narrow<float>(float value) { return value; }
template <>
__device__ inline half narrow<half>(float value) {
  half bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits.bits) : "f"(value));
  return bits;
}
template <>
__device__ inline bfloat16 narrow<bfloat16>(float value) {
  bfloat16 bits;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits.bits) : "f"(value));
  return bits;
}

}  // namespace lynceus
