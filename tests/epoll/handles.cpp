// SPDX-License-Identifier: MIT
#include "../process_handles.hpp"

extern "C" int open_handles_now();
extern "C" int open_handles_now() { return open_handles(); }
