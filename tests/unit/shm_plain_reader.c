/* SPDX-License-Identifier: Apache-2.0
 * Reads a directory by the documented offsets alone, as a client in any language would: prints the first device's
 * name and the text of each event. Usage: shm_plain_reader FD */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

static uint64_t word_at(const unsigned char* start, uint64_t offset_bytes) {
  uint64_t word;
  memcpy(&word, start + offset_bytes, sizeof(word));
  return word;
}

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const int fd = (int)strtol(argv[1], NULL, 10);
  struct stat status;
  if (fstat(fd, &status) != 0) return 1;
  const unsigned char* start = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_SHARED, fd, 0);
  if (start == MAP_FAILED) return 1;
  if (memcmp(start, "WARDNDIR", 8) != 0) return 1;
  /* header: magic 0, version 8, total 16, device table 32, event table 80, event count 136 */
  printf("%s\n", (const char*)(start + word_at(start, 32) + 16));
  const uint64_t events = word_at(start, 80);
  for (uint64_t number = 0; number < word_at(start, 136); ++number) {
    const uint64_t record = events + (number % 4096) * 256;
    if (word_at(start, record) != number + 1) return 1;
    printf("%" PRIu64 " %s\n", word_at(start, record + 16), (const char*)(start + record + 72));
  }
  return 0;
}
