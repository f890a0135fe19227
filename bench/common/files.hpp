// SPDX-License-Identifier: MIT
#pragma once

#ifndef _WIN32
#include <sys/resource.h>
#endif

namespace bench {

/// As many open files as this process may have; Windows has no such limit.
inline void allow_many_files() {
#ifndef _WIN32
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
#endif
}

}  // namespace bench
