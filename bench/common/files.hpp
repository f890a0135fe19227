// SPDX-License-Identifier: MIT
#pragma once

#ifndef _WIN32
#include <sys/resource.h>
#endif

namespace bench {

/// Raises the limit of open files as far as this process may; Windows has no such limit.
inline void allow_many_files() {
#ifndef _WIN32
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
#endif
}

}  // namespace bench
