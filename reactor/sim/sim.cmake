# The simulated NT kernel and its network. The model check, the fuzzers and the sweep run the AFD backend over it.
add_library(reactor_sim_kernel STATIC EXCLUDE_FROM_ALL sim/sim_answer.cpp sim/sim_core.cpp sim/sim_endpoint.cpp sim/sim_kernel.cpp sim/sim_net.cpp
            sim/sim_notify.cpp sim/sim_poll.cpp sim/sim_seen.cpp sim/sim_stack.cpp sim/sim_wire.cpp)
target_link_libraries(reactor_sim_kernel PUBLIC reactor::reactor PRIVATE reactor_build_options)
