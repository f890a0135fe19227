/* SPDX-License-Identifier: MIT */
/* So that a program's #include "wepoll.h" finds reactor/epoll.h. */
#ifndef REACTOR_COMPAT_WEPOLL_H
#define REACTOR_COMPAT_WEPOLL_H

#include <reactor/epoll.h> /* IWYU pragma: export */

#endif /* REACTOR_COMPAT_WEPOLL_H */
