// The threads of a thread block as fibers: one runs until it has to wait for others, and then the next does. For
// tests only.
#pragma once
#include <cstddef>
#include <cstdint>

namespace shim {

struct Index {
  unsigned x, y, z;
};

// What a lane lays down for the others of its warp to read.
struct Slot {
  uint64_t words[3];
};

// Runs `kernel` for every thread of every thread block, one block after the other.
void launch(Index grid, unsigned threads, size_t shared_bytes, void (*kernel)());

// The dynamic shared memory of the running thread block: filled with junk when the block starts, and exactly as long
// as asked for.
unsigned char* shared_memory();

void sync_block();
// Lays down `own` and waits for the warp; what comes back are the slots of its 32 lanes, valid until the lane has met
// its warp again.
const Slot* meet_warp(const Slot& own);
// Lets another fiber run.
void relax();

// Copies that are made only when they are waited for, as late as a GPU may make them.
void copy_later(void* to, const void* from, size_t bytes);
void close_copies();
void wait_copies(size_t pending);

// Ends the program: the kernel did what a GPU does not allow.
[[noreturn]] void refuse(const char* why);

extern Index thread_index, block_index, block_size, grid_size;

}  // namespace shim
