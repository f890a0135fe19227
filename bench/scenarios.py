"""What is measured: each scenario is one kind of load, and the servers that are compared under it."""
import dataclasses

# Kinds of bench_server, and their names in tables. The others are compared with "ours".
KINDS = {
    "ours": "ours",
    "ours-ungrouped": "ours, groups off",
    "epoll": "epoll API",  # on Linux the system's own, on Windows our reactor/epoll.h
    "wepoll": "wepoll",
    "asio": "Asio",
    "asio-eager": "Asio, eager send",
    "poll": "poll / WSAPoll",
    "select": "select",
    "afd-1-packet": "AFD_POLL each, dequeue 1",
    "afd-256-packets": "AFD_POLL each, dequeue 256",
    "afd-synchronous": "one synchronous AFD_POLL",
    "uv": "libuv",
    "libevent": "libevent",
    "blocking": "floor: blocking",
    "loop": "reactor::loop",
    "asio-coroutines": "Asio, coroutines",
    "http-poller": "Poller",
    "http-loop": "reactor::loop (the example)",
    "http-epoll": "epoll API",
    "http-uv": "libuv",
    "http-asio": "Asio, callbacks",
    "http-asio-coroutines": "Asio, coroutines",
}
FLOOR = "blocking"
WINE = ("ours", "ours-ungrouped", "epoll", "wepoll", "uv", "asio", "blocking")
WINE_ALL = ("ours", "ours-ungrouped", "epoll", "wepoll", "uv", "asio", "asio-eager", "poll", "select", "blocking")
LINUX = ("ours", "epoll", "uv", "libevent", "asio", "blocking")
FEW = ("ours", "ours-ungrouped", "wepoll", "afd-256-packets", "afd-1-packet", "afd-synchronous", "poll", "asio", "blocking")
HTTP = ("http-poller", "http-loop", "http-epoll", "http-uv", "http-asio", "http-asio-coroutines")
BOTH_OURS = ("ours", "ours-ungrouped")


@dataclasses.dataclass
class Entry:
    """One server of a scenario."""
    kind: str
    label: str = ""
    server: tuple = ()  # more arguments of bench_server
    load: dict = dataclasses.field(default_factory=dict)  # replaces arguments of the scenario's load

    @property
    def name(self):
        return self.label or self.kind


@dataclasses.dataclass
class Scenario:
    name: str
    title: str
    wine: tuple = ()  # kinds or entries
    linux: tuple = ()
    load: dict = dataclasses.field(default_factory=dict)  # arguments of bench_load
    server: tuple = ()  # of bench_server, for all kinds
    floor: tuple = ()  # more arguments of bench_server for the floor
    quick: bool = True  # part of the quick form
    smoke: bool = False  # part of the smoke test
    window_ms_min: int = 0  # for scenarios with few messages
    repeat_max: int = 99  # for scenarios that take minutes under Wine
    inside: tuple = ()  # arguments of bench_inside: there is no load, the program measures itself

    def entries(self, system):
        return [e if isinstance(e, Entry) else Entry(e) for e in (self.wine if system == "wine" else self.linux)]

    def load_of(self, entry):
        load = {**self.load, **entry.load}
        if entry.kind == FLOOR:
            load.pop("check-idle", None)  # it does not read from idle connections
        return load

    def server_of(self, entry):
        """Arguments of bench_server. The floor must know how many connections there will be, and how many are active."""
        load = self.load_of(entry)
        own = [*self.server, *entry.server]
        if entry.kind == FLOOR:
            own += ["--connections", str(load["connections"])]
            own += ["--active", str(load.get("active", load["connections"])), *self.floor]
        return own


def echo(active, connections, **more):
    return Scenario(f"{active}-of-{connections}", f"{active} of {connections} connections busy, ping-pong of 64 bytes",
                    load={"connections": connections, "active": active}, **more)


def few(active, connections):
    """Compares ours with each way of waiting without a library."""
    return Scenario(f"few-{active}-of-{connections}", f"{active} of {connections} connections busy, by all ways of waiting",
                    wine=FEW, load={"connections": connections, "active": active}, quick=False)


def idle(count, wine=("ours-ungrouped", "epoll", "wepoll", "poll", "poll-none-idle", "asio", "blocking"), **more):
    none_idle = [Entry(kind, f"{kind}-none-idle", load={"connections": 64, "check-idle": False})
                 for kind in ("ours", "poll", "epoll")]
    return Scenario(f"idle-{count}", f"64 busy connections beside {count:,} idle ones",
                    wine=("ours", none_idle[0], *(none_idle[1] if kind == "poll-none-idle" else kind for kind in wine)),
                    linux=("ours", none_idle[0], "epoll", none_idle[2], "uv", "libevent", "asio"),
                    load={"connections": count + 64, "active": 64, "check-idle": True}, **more)


def waiters(count, **more):
    """Several threads share the events. If a thread arms a socket for others before it has read it, an event comes twice."""
    threads = ("--threads", str(count))
    both = tuple(Entry("ours", label, server=(*threads, *mode))
                 for label, mode in (("ours", ()), ("ours-oneshot", ("--oneshot",))))
    return Scenario(f"waiters-{count}", f"64 connections busy together in rounds, {count} threads wait on one Poller",
                    wine=both, linux=both, load={"connections": 64, "in-rounds": True}, **more)


def adversary(name, title, **more):
    more.setdefault("load", {"connections": 64})
    return Scenario(name, f"Adversary: {title}", wine=BOTH_OURS, **more)


SCENARIOS = [
    echo(1, 1, wine=WINE, linux=LINUX, smoke=True),
    echo(4, 64, wine=WINE, linux=LINUX, smoke=True),
    echo(16, 64, wine=WINE, linux=LINUX, smoke=True),
    echo(64, 64, wine=WINE_ALL, linux=LINUX, smoke=True),
    echo(256, 256, wine=WINE, linux=LINUX, window_ms_min=2000),
    idle(1000, window_ms_min=1000),
    few(1, 1),
    few(4, 64),
    waiters(1, quick=False),
    waiters(2, smoke=True),
    waiters(4, smoke=True),
    waiters(8),
    # Wineserver alone takes minutes to open and close ten thousand connections.
    idle(10000, wine=("ours-ungrouped", "asio"), quick=False, window_ms_min=2000, repeat_max=3),
    Scenario("loop-echo", "the same as 64-of-64, for coroutines", wine=("ours", "loop", "asio-coroutines"),
             linux=("ours", "epoll", "loop", "uv", "asio", "asio-coroutines"), load={"connections": 64}, smoke=True),
    Scenario("http", "the example loop_http and the same server by other means, 64 keep-alive connections, one request after "
             "the other on each", wine=HTTP, linux=HTTP, load={"connections": 64, "http": True}, smoke=True),
    Scenario("http-idle", "the same beside 10,000 idle keep-alive connections, each served once before and once after",
             linux=HTTP, load={"connections": 10064, "active": 64, "http": True, "check-idle": True}, quick=False,
             window_ms_min=1000, repeat_max=3),
    Scenario("open-loop", "64 connections, 2,000 messages a second in all, latency counted from when each was due",
             wine=WINE, linux=LINUX, load={"connections": 64, "depth": 8, "rate": 2000}, quick=False),
    Scenario("churn", "8 clients, each again and again: connect, one message, close", wine=WINE, linux=LINUX,
             load={"connections": 8, "messages-per-connection": 1}, floor=("--short-lived",), smoke=True, window_ms_min=1500),
    Scenario("pipelined", "16 connections, 16 messages of 1 KiB in flight on each, small socket buffers: write "
             "interest is set and cleared often", wine=("ours", "ours-ungrouped", "epoll", "wepoll", "asio"), linux=("ours", "epoll", "uv", "libevent", "asio"),
             load={"connections": 16, "size": 1024, "depth": 16, "receive-buffer": 4096}, server=("--send-buffer", "4096"),
             smoke=True),
    adversary("toggle", "one of 64 busy connections changes its interest at every event", server=("--toggles",),
              smoke=True),
    adversary("toggle-other", "4 of 64 connections busy; each event of three of them changes the interest of the fourth",
              load={"connections": 64, "active": 4}, server=("--toggles-other",), smoke=True),
    adversary("close", "64 busy connections, each closed and connected anew after 8 messages",
              load={"connections": 64, "messages-per-connection": 8}, smoke=True),
    adversary("close-unremoved", "the same, and the server closes without removing",
              load={"connections": 64, "messages-per-connection": 8}, server=("--leaves-closed",), smoke=True),
    adversary("one-at-a-time", "256 connections that fire eight times together, then one at a time, again and again",
              load={"connections": 256, "in-flight": 1, "burst": 8}, smoke=True, window_ms_min=2500),
    adversary("wake-storm", "64 busy connections, and a wake before every wait", server=("--wakes",), smoke=True),
    adversary("buffer-1", "64 busy connections, a buffer of one event", server=("--event-buffer", "1"), smoke=True),
    Scenario("register", "idle sockets registered, armed and removed (10,000; in the quick form under Wine 2,000)", inside=("register",),
             wine=("ours", "ours-ungrouped", "epoll", "wepoll", "asio"), linux=("ours", "epoll", "libevent", "asio"), smoke=True,
             repeat_max=3),
    Scenario("wake", "two loops on one core wake each other in turn: time from a wake to the end of the wait", inside=("wake",), wine=("ours", "asio"),
             linux=("ours", "epoll", "uv", "asio"), smoke=True),
]


WAITERS = [s.name for s in SCENARIOS if s.name.startswith("waiters-")]
ADVERSARIES = [s.name for s in SCENARIOS if s.title.startswith("Adversary")]


def label_of(name, kind):
    """The name of a server in tables and charts: its kind, and how it differs from others of that kind."""
    suffix = name.removeprefix(kind).replace("-", " ").strip()
    return KINDS[kind] + (f", {suffix}" if suffix else "")


def by_name(name):
    return next(s for s in SCENARIOS if s.name == name)
