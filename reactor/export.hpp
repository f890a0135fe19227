// SPDX-License-Identifier: MIT
#pragma once

// REACTOR_API marks what a shared library exports. The build sets REACTOR_SHARED for a shared library and its users,
// and REACTOR_BUILDING while it compiles the library itself; a static library needs neither.
#if !defined(REACTOR_SHARED)
#define REACTOR_API
#elif !defined(_WIN32)
#define REACTOR_API __attribute__((visibility("default")))
#elif defined(REACTOR_BUILDING)
#define REACTOR_API __declspec(dllexport)
#else
#define REACTOR_API __declspec(dllimport)
#endif
