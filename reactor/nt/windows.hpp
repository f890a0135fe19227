// SPDX-License-Identifier: MIT
#pragma once

// The headers of Windows, with as few macros as they allow. For sources that are compiled for Windows alone.
#ifndef NOMINMAX
#define NOMINMAX
#endif
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#ifndef WIN32_NO_STATUS
#define WIN32_NO_STATUS  // the names are constants in nt/types.hpp
#endif
#include <winsock2.h>
// winsock2.h before windows.h
#include <windows.h>
