// SPDX-License-Identifier: MIT
#pragma once

/// How many files and ports (Windows: sockets and helper handles are files there) or descriptors (Linux) this process
/// has open. On Windows events and the like are left out: the C++ runtime keeps some, which it makes when threads first
/// get in each other's way.
int open_handles();
