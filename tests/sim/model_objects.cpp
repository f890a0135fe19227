// SPDX-License-Identifier: MIT
//
// Objects that can be waited for: no signal is lost or made up, whatever is added, armed again and withdrawn.
#include <algorithm>
#include <utility>

#include "model_checker.hpp"
#include "native_handle.hpp"

namespace reactor::sim::model {

using namespace reactor;
using namespace std::chrono_literals;

void Checker::object(const Step& step) {
  if (by_number_ != nullptr) return;  // the C API has no such call
  constexpr std::size_t objects_max = 4;
  const std::size_t at = step.a % objects_max;
  while (objects_.size() <= at) {
    const bool is_auto_reset = objects_.size() % 2 == 0;
    const auto kind = is_auto_reset ? Waitable::Kind::auto_reset : Waitable::Kind::manual_reset;
    objects_.push_back({.handle = sim_.create_object(kind), .is_auto_reset = is_auto_reset});
  }
  Object& object = objects_[at];
  switch (step.b % 8) {
    case 0:
    case 1:
    case 2: return signal_object(object);
    case 3:
      if (!object.is_auto_reset) sim_.reset(object.handle);
      return;
    case 4: return remove_object(object, step.c % 2 == 0);
    default: return object.place ? rearm_object(object) : add_object(object);
  }
}

void Checker::signal_object(Object& object) {
  const bool is_set = sim_.signals(object.handle) > 0;
  object.owed += object.is_auto_reset && !is_set ? 1 : 0;
  object.was_set = true;
  sim_.signal(object.handle);
}

void Checker::add_object(Object& object) {
  const auto index = static_cast<std::uint64_t>(&object - objects_.data());
  const auto added = backend_->add_handle(native_of(object.handle), Token{std::uint64_t{1} << 40 | index});
  if (!added) {
    const bool may_fail = program_.options.faults.wait_refused > 0;
    return require(may_fail && added.error() == std::errc::not_enough_memory, "add_handle failed");
  }
  object.place = *added;
  objects_live_++;
  was_armed(object);
}

void Checker::rearm_object(Object& object) {
  if (!object.place) return;
  const bool was_armed_before = object.is_armed;
  const auto rearmed = backend_->modify(*object.place, {}, {});
  if (rearmed) return was_armed_before ? void() : was_armed(object);
  const bool may_fail = program_.options.faults.wait_refused > 0 && !was_armed_before;
  require(may_fail && rearmed.error() == std::errc::not_enough_memory, "rearm failed");
}

void Checker::was_armed(Object& object) {
  object.is_armed = true;
  object.was_set = !object.is_auto_reset && sim_.signals(object.handle) > 0;
}

// Whether it is asked if a signal is lost with it, or not.
void Checker::remove_object(Object& object, bool asks) {
  if (!object.place) return;
  const bool was_fired = is_fired(object);
  if (asks) {
    const auto withdrawn = backend_->withdraw(*object.place);
    require(withdrawn.has_value(), "withdraw failed");
    require(*withdrawn == (object.is_auto_reset ? was_fired : object.is_armed && object.was_set),
            "withdraw does not say whether a signal was taken");
  } else {
    require(backend_->remove(*object.place).has_value(), "remove of an object failed");
  }
  require(backend_->modify(*object.place, {}, {}).error() == std::errc::bad_file_descriptor,
          "a removed object could be armed again");
  object.owed -= object.is_auto_reset && was_fired ? 1 : 0;
  object.place.reset();
  object.is_armed = false;
  objects_live_--;
}

// It is armed and has given up its signal, or is set; the event of that was not delivered yet.
bool Checker::is_fired(const Object& object) {
  if (!object.is_armed) return false;
  return object.is_auto_reset ? object.owed > sim_.signals(object.handle) : object.was_set;
}

std::size_t Checker::objects_fired() {
  return static_cast<std::size_t>(std::ranges::count_if(objects_, [this](const Object& one) { return is_fired(one); }));
}

void Checker::judge_object(const Event& event) {
  const auto index = static_cast<std::size_t>(event.token()) & 0xFF;
  note("    object ", std::to_string(index));
  require(index < objects_.size(), "an event of an unknown object");
  Object& object = objects_[index];
  require(object.place.has_value(), "an event of an object that was removed (nothing after remove)");
  require(event.readiness() == Readiness::readable, "an object is readable, and nothing else");
  require(is_fired(object), "an object was reported that is disarmed, or was not signalled");
  object.owed -= object.is_auto_reset ? 1 : 0;
  object.is_armed = false;
  // As of a level socket: it is not seen when the thread has dealt with it.
  between_waits_[thread_].left.push_back(~std::uint32_t{0});
  between_waits_[thread_].has_level = true;
}

// What an auto-reset one has given up is on its way to a wait, or was reported.
void Checker::check_objects() {
  for (const Object& object : objects_) {
    if (!object.is_auto_reset) continue;
    const int taken = object.owed - sim_.signals(object.handle);
    require(taken >= 0 && taken <= (object.is_armed ? 1 : 0),
            "a signal was lost, or taken by a handle that is disarmed");
  }
}

void Checker::end_objects() {
  for (Object& object : objects_) remove_object(object, true);
  close_objects();
}

void Checker::close_objects() {
  for (const Object& object : objects_) sim_.close(object.handle);
  object_closes_ += objects_.size();
  objects_.clear();
}

}  // namespace reactor::sim::model
