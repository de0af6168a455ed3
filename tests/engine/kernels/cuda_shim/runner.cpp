// runner PROBLEM RESULT: runs a kernel on the arguments in the file PROBLEM and writes what its arrays hold afterwards.
//
// A problem is grid x and y, threads, shared bytes and the number of arguments, then for each argument its length in
// bytes, whether it is an array, and its bytes; all numbers are 64 bits long. An array of no bytes is a null pointer.
// Each array has memory of its own, so that the sanitizer sees a step beyond it.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include "fibers.h"

void run_kernel();
void* const* arguments;

namespace {

struct Argument {
  bool array;
  size_t bytes;
  void* data;
};

uint64_t number(std::FILE* file) {
  uint64_t value;
  if (std::fread(&value, sizeof value, 1, file) != 1) shim::refuse("the problem ends early");
  return value;
}

Argument argument(std::FILE* file) {
  Argument read{};
  read.bytes = number(file);
  read.array = number(file) != 0;
  if (read.bytes == 0) return read;
  if (posix_memalign(&read.data, 256, read.bytes) != 0) shim::refuse("there is no memory");
  if (std::fread(read.data, 1, read.bytes, file) != read.bytes) shim::refuse("the problem ends early");
  return read;
}

}  // namespace

int main(int, char** files) {
  std::FILE* problem = std::fopen(files[1], "rb");
  const unsigned wide = number(problem), high = number(problem), threads = number(problem);
  const size_t shared = number(problem), count = number(problem);
  std::vector<Argument> all;
  for (size_t i = 0; i < count; ++i) all.push_back(argument(problem));
  std::fclose(problem);
  std::vector<void*> addresses;
  for (Argument& one : all) addresses.push_back(one.array ? &one.data : one.data);
  arguments = addresses.data();
  shim::launch({wide, high, 1}, threads, shared, run_kernel);
  std::FILE* result = std::fopen(files[2], "wb");
  for (const Argument& one : all)
    if (one.bytes != 0 && one.array) std::fwrite(one.data, 1, one.bytes, result);
  std::fclose(result);
  for (const Argument& one : all) std::free(one.data);
}
