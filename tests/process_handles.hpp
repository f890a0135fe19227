// SPDX-License-Identifier: MIT
#pragma once

/// How many files and ports (Windows: sockets and helper handles are files there) or descriptors (Linux) this process
/// has open. On Windows, events and similar objects are not counted: the C++ runtime creates some when threads first
/// wait for each other, and keeps them.
int open_handles();
