// SPDX-License-Identifier: MIT
// `import reactor.loop;`: what the public headers in reactor/loop/ declare, and with it `import reactor;`. A program that has
// coroutines of its own includes <coroutine> too. scripts/interface.py writes both lists and compares them with the headers.
module;

#include <reactor/loop/condition.hpp>
#include <reactor/loop/group.hpp>
#include <reactor/loop/handles.hpp>
#include <reactor/loop/loop.hpp>
#include <reactor/loop/names.hpp>
#include <reactor/loop/reader.hpp>
#include <reactor/loop/signals.hpp>
#include <reactor/loop/sockets.hpp>
#include <reactor/loop/stop_token.hpp>
#include <reactor/loop/task.hpp>
#include <reactor/loop/time.hpp>

export module reactor.loop;
export import reactor;

export namespace reactor {
using reactor::Accepted;
using reactor::BufferedReader;
using reactor::ChildWatch;
using reactor::Condition;
using reactor::HandleWatch;
using reactor::Loop;
using reactor::LoopOptions;
using reactor::LoopStats;
using reactor::NativeProcess;
using reactor::On;
using reactor::OnFailure;
using reactor::Resolver;
using reactor::ResolverOptions;
using reactor::Signals;
using reactor::StopForwarder;
using reactor::Task;
using reactor::TaskGroup;
using reactor::ThisTask;
using reactor::Watch;
using reactor::connect;
using reactor::connect_any;
using reactor::shielded;
using reactor::sleep_for;
using reactor::sleep_until;
using reactor::this_task;
using reactor::with_deadline;
using reactor::with_stop;
using reactor::with_timeout;
using reactor::yield;
}  // namespace reactor
