// SPDX-License-Identifier: Apache-2.0
// Skeleton.
int main() {
  for (;;) asm volatile("");
}
