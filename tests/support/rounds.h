// SPDX-License-Identifier: Apache-2.0
// How often a test repeats itself: less often with a sanitizer, which makes every round cost many times as much.
#pragma once

namespace warden::test {

template <typename Number>
[[nodiscard]] constexpr Number rounds(Number many, [[maybe_unused]] Number with_sanitizer) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return with_sanitizer;
#else
  return many;
#endif
}

}  // namespace warden::test
