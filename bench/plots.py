# SPDX-License-Identifier: MIT
"""The plots of the report, drawn by gnuplot: our figures, and beside them what others published."""

import math
import shutil
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path

import tables
import wording
from paths import HarnessError

Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Line:
    title: str
    points: Points
    published: bool = False  # by others, on their machine
    colour: int | None = None  # gnuplot's; lines of one thing share it


@dataclass(frozen=True)
class Bar:
    title: str
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Stack:
    """A bar of several layers, one on the other; those of one plot have the same."""

    title: str
    layers: dict[str, float]


@dataclass(frozen=True)
class Plot:
    name: str  # of the file
    title: str
    caption: str
    y: str
    lines: list[Line] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    stacks: list[Stack] = field(default_factory=list)
    x: str = ""
    log_y: bool = False
    x_range: tuple[float, float] | None = None  # linear; without one x is logarithmic
    level: float | None = None  # where nothing is won or lost


# Published: batch size, time per call as a multiple of a direct one.
FLEXSC_SAME = [(1, 80 / 56), (2, 52 / 56), (4, 38 / 56), (8, 34 / 56), (16, 27 / 56), (32, 24 / 56),
               (64, 24 / 56)]
FLEXSC_OTHER = [(1, 640 / 56), (2, 540 / 56), (4, 320 / 56), (8, 175 / 56), (16, 130 / 56),
                (32, 70 / 56), (64, 45 / 56)]
CLUSTER_SAME = [(1, 997 / 105), (1024, 44 / 105)]


def multiples(table: dict, call: str, how: str) -> Points:
    """What a call costs as multiples of a direct one; the ring's no-op as one of ours."""
    direct = tables.points(table, call.removesuffix(" of io_uring"), "direct")[0][1]
    return [(size, value / direct) for size, value in tables.points(table, call, how)]


def copy_plot(kernel: dict) -> Plot | None:
    if "copy_sizes" not in kernel:
        return None
    chain, loop = (tables.points(kernel["copy_sizes"], "read, write", how)
                   for how in ("one chain", "direct calls"))
    saved = [(size, 100 * (1 - ours / other)) for (size, ours), (_, other) in zip(chain, loop)]
    return Plot("copy", "Copying a file by one looped multi-call",
                "Instructions saved against a loop of read and write, 1 MB on tmpfs. Published (2003, time, "
                "files of 80 KB to 2.28 MB on a Pentium II): looped multi-calls, blocks of 4096.",
                "% saved", [Line("one chain that repeats (instructions)", saved),
                            Line("multi-calls, 80 KB (time)", [(4096, 6.3)], True),
                            Line("multi-calls, 925 KB (time)", [(4096, 7.8)], True),
                            Line("multi-calls, 2.28 MB (time)", [(4096, 5.2)], True)],
                x="bytes in a block")


def writes_plot(kernel: dict) -> Plot | None:
    if "writes60" not in kernel:
        return None
    table = kernel["writes60"]
    lines = [Line(f"{how}, {call.removeprefix('write, ')} (instructions)", relative(table, call, how))
             for call, hows in (("write, tmpfs", ("flush", "one chain", "io_uring, linked", "io_uring")),
                                ("write, /dev/null", ("flush", "io_uring")))
             for how in hows]
    sizes = [size for size, _ in lines[0].points]
    lines.append(Line("dBatch (time; bytes not told)", [(size, 22 / 57) for size in (sizes[0], sizes[-1])], True))
    return Plot("writes", "Sixty writes one after the other",
                "Each write as a multiple of a direct one, against its bytes: by one flush, as one chain of sixty, "
                "and by io_uring, in order (linked) and without. Published: dBatch, 57 and 22 µs for all sixty.",
                "multiples of a direct write", lines, x="bytes of a write", level=1)


def relative(table: dict, call: str, how: str) -> Points:
    """To what is direct, size by size."""
    return [(size, value / direct) for (size, value), (_, direct) in
            zip(tables.points(table, call, how), tables.points(table, call, "direct"))]


def workers_plot(kernel: dict) -> Plot | None:
    if "workers" not in kernel:
        return None
    lines = []
    for how, title in (("workers", "workers"), ("threads, directly", "threads that call directly")):
        points = tables.points(kernel["workers"], "pread of 4096 bytes", how)
        lines.append(Line(title, [(count, points[0][1] / value) for count, value in points]))
    # Time of an empty service: 54, 93 and 84 ns.
    lines.append(Line("cluster calls, other cores", [(1, 1.0), (2, 54 / 93), (3, 54 / 84)], True))
    return Plot("workers", "Calls by one, two and three workers",
                "1024 reads of 4096 bytes in one batch, in time, against one of its kind. Each worker wants a CPU of "
                "its own, and so does the application: what threads gain that make the same calls directly is "
                "what this machine has to give. Published: cluster calls, an empty service.",
                "times as fast as one", lines, x="workers or threads", level=1)


def indirect_plot(kernel: dict) -> Plot | None:
    if "indirect" not in kernel:
        return None
    table = kernel["indirect"]
    there = {(line["call"], line["how"]) for line in table["lines"]}
    # Blue, red and green, in two shades.
    colours = {"L1i": (6, 3), "L1d": (7, 4), "DTLB": (2, 5)}
    lines = [Line(f"{kind}, {how}", tables.points(table, kind, how), how == "no calls",
                  of_kind[how == "posted"])
             for kind, of_kind in colours.items() for how in ("direct", "posted", "no calls")
             if (kind, how) in there]
    return Plot("indirect", "What calls do to the user code around them",
                "Counted by the cache model, user side only: a loop with 18 KB of code and 144 KiB of data, and a "
                "pwrite of 1 KiB now and then, made directly or posted to a worker on another CPU. Dashed: without "
                "calls. Published: FlexSC, user code loses 66 % of its speed with a call each 1000 "
                "instructions, 27 % with one each 20,000.",
                table["unit"], lines, x="user instructions between two calls")


def other_plot(kernel: dict) -> Plot | None:
    if "sizes_other" not in kernel:
        return None
    table = kernel["sizes_other"]
    return Plot("other_core", "What a call costs in a batch, on another core",
                "A no-op, in time, as a multiple of a direct call, which both sides poll for: our worker, "
                "and io_uring with SQPOLL. Emulated CPUs; see what to keep in mind. Dashed: published.",
                "multiples of a direct call",
                [Line("worker on another CPU", multiples(table, "no-op", "worker on another CPU")),
                 Line("io_uring, SQPOLL", multiples(table, "no-op of io_uring", "io_uring, SQPOLL")),
                 Line("FlexSC 2010, another core, worst case", FLEXSC_OTHER, True)],
                x="calls in a batch", log_y=True, level=1)


def batch_plot(kernel: dict) -> Plot | None:
    lines = []
    if "sizes" in kernel:
        lines += [Line(f"{title}, same core (instructions)", multiples(kernel["sizes"], call, how))
                  for title, call, how in (("flush", "no-op", "flush"),
                                           ("wait, helping", "no-op", "wait, helping"),
                                           ("io_uring", "no-op of io_uring", "io_uring"))]
    elif "table" in kernel:
        lines += [Line("flush, same core (instructions)",
                       multiples(kernel["table"], "getppid", "flush")),
                  Line("wait, helping, same core (instructions)",
                       multiples(kernel["table"], "getppid", "wait, helping"))]
    if "ratios" in kernel.get("breakeven_other", {}):
        ratios = kernel["breakeven_other"]["ratios"]
        lines.append(Line("worker on another CPU (time)",
                          sorted((int(size), value) for size, value in ratios.items())))
    if not lines:
        return None
    lines += [Line("FlexSC 2010, same core (time)", FLEXSC_SAME, True),
              Line("FlexSC 2010, another core (time)", FLEXSC_OTHER, True),
              Line("cluster calls, same core (time)", CLUSTER_SAME, True)]
    return Plot("batches", "What a call costs in a batch",
                "A no-op, in batches, as a multiple of a direct one; that of io_uring is one of its own, "
                "without arguments or result. Dashed: published by others, times on their machines of 2009 and later.",
                "multiples of a direct call", lines, x="calls in a batch", log_y=True, level=1)


def bars_of(found: dict, names: dict[str, str]) -> list[Bar]:
    return [Bar(title, found[name]["value"], *found[name]["spread"])
            for name, title in names.items() if found.get(name, {}).get("value") is not None]


def server_plot(server: dict) -> Plot | None:
    bars = bars_of(server, {"threads": "threads", "epoll": "epoll", "esca": "ESCA", "nginx": "nginx",
                            "lighttpd": "lighttpd",
                            "small_udp": "UDP echo", "small_files": "file calls",
                            "one_connection": "1 conn.", "c10k": "10k conn."})
    if not bars:
        return None
    return Plot("servers", "Fibers on engine kernel, same core, against …",
                "Requests per instruction of the whole machine, as a multiple of the other's: servers of HTTP, "
                "a thread that calls directly (UDP echo, 20 file calls), threads with 1 connection, and fibers "
                "with 400 connections. Published: "
                "FlexSC over threads 1.86 in time, ESCA over nginx 1.11 and over lighttpd 1.13.",
                "times as many requests", bars=bars, level=1)


def models_plot(server: dict, table: str, title: str, caption: str, x: str) -> Plot | None:
    if table not in server:
        return None
    return Plot(table, title, caption, "requests per 10^9 instructions",
                lines_of(server[table], "requests per second"), x=x)


def lines_of(table: dict, how: str) -> list[Line]:
    return [Line(line["call"], tables.points(table, line["call"], how))
            for line in table["lines"] if line["how"] == how]


def load_plot(server: dict, how: str, name: str, title: str, caption: str) -> Plot | None:
    """What else the table by connections says."""
    lines = lines_of(server["connections"], how) if "connections" in server else []
    if not lines:
        return None
    return Plot(name, title, f"One CPU that serves and asks, a page of 4729 bytes. {caption}",
                "thousands of instructions", lines, x="connections", log_y=how.startswith("p"))


def load_plots(server: dict) -> list[Plot | None]:
    return [load_plot(server, "p50, us", "connections_p50", "Median of the latency by the number of connections",
                      "All connections always wait for an answer."),
            load_plot(server, "p99, us", "connections_p99", "99th percentile of the latency by the number of "
                      "connections", "All connections always wait for an answer."),
            load_plot(server, "CPU of the server per request, us", "connections_cpu",
                      "The server's part of a request by the number of connections",
                      "All that the server's threads do, its kernel side and workers included.")]


def connections_plot(server: dict) -> Plot | None:
    return models_plot(server, "connections", "Requests by the number of connections",
                       "Instructions of the whole machine, one CPU, a page of 4729 bytes. Published, in time: "
                       "cluster calls are best at 400 (10,475 a second, 0.92 of completion ports) and FlexSC "
                       "below threads at 1 connection, 1.86 of them at 256 and more.", "connections")


def file_sizes_plot(server: dict) -> Plot | None:
    return models_plot(server, "file_sizes", "Requests by the size of the file",
                       "Instructions of the whole machine, one CPU, 50 connections. Published, in time: ESCA "
                       "wins 7 % (nginx) and 8 % (lighttpd) on average up to 40 KiB and nothing from 100 KiB.",
                       "KiB of the file")


def latency_plot(server: dict, table: str, title: str, where: str) -> Plot | None:
    if table not in server:
        return None
    names = list(dict.fromkeys(line["call"] for line in server[table]["lines"]))
    lines = [Line(f"{name}, {how}", tables.points(server[table], name, how), how == "p50", colour)
             for colour, name in enumerate(names, 1) for how in ("p99", "p50")]
    lines = [line for line in lines if not all(math.isnan(y) for _, y in line.points)]
    if not lines:
        return None
    return Plot(table, title, "Latency from when a request was due, in the time that epoll takes for one at closed "
                f"loop; Poisson arrivals over 50 connections, {where}. Dashed: the median. A gap: so "
                "many requests were not answered.", "times a request of epoll", lines,
                x="% of the requests per second of epoll at closed loop", log_y=True, x_range=(20, 100))


def misses_plot(server: dict) -> Plot | None:
    if "sides" not in server.get("pollution", {}):
        return None
    ours, other = server["pollution"]["sides"]
    bars = [Bar("threads", other, other, other), Bar("fibers, worker elsewhere", ours, ours, ours)]
    return Plot("misses", "L1i misses of the application per request",
                "By the cache model, user side only. FlexSC published 131 and 41 misses per 1000 "
                "instructions for Apache.", "misses", bars=bars)


def profile_plot(server: dict) -> Plot | None:
    if "profile" not in server:
        return None
    group = server["profile"]["groups"][0]
    stacks = [Stack(side, {part: values[i] for part, values in group["parts"].items()})
              for i, side in enumerate(group["sides"])]
    return Plot("profile", "Where the instructions of a request go",
                f"{group['name']}, a page of 4729 bytes, one CPU that serves and asks. The kernel's part is that of "
                "server and client together.", server["profile"]["unit"], stacks=stacks)


def runtime_plot(runtime: dict) -> Plot | None:
    bars = bars_of(runtime, {"switch": "switch", "spawn": "spawn", "mutex": "mutex",
                             "timers": "timers", "spawn_thread": "spawn, against std::thread"})
    if not bars:
        return None
    return Plot("fibers", "Fibers against Boost.Fiber",
                "Times as fast, in one run on this machine.", "times as fast", bars=bars, log_y=True,
                level=1)


def all_plots(results: dict) -> list[Plot]:
    found = (batch_plot(results.get("kernel", {})), other_plot(results.get("kernel", {})),
             copy_plot(results.get("kernel", {})), writes_plot(results.get("kernel", {})),
             workers_plot(results.get("kernel", {})), indirect_plot(results.get("kernel", {})),
             server_plot(results.get("server", {})),
             connections_plot(results.get("server", {})), *load_plots(results.get("server", {})),
             file_sizes_plot(results.get("server", {})),
             latency_plot(results.get("server", {}), "latency", "Latency at arrival rates, with the module",
                          "one or two CPUs that serve"),
             latency_plot(results.get("server", {}), "latency_native",
                          "Latency at arrival rates, without the module", "one CPU that serves"),
             profile_plot(results.get("server", {})),
             misses_plot(results.get("server", {})), runtime_plot(results.get("runtime", {})))
    there = [plot for plot in found if plot is not None]
    return [in_time(plot) for plot in there] if wording.is_bare_metal(results) else there


def in_time(plot: Plot) -> Plot:
    """In words for what was measured on a real machine."""
    lines = [replace(line, title=wording.in_time(line.title)) for line in plot.lines]
    return replace(plot, lines=lines, title=wording.in_time(plot.title), y=wording.in_time(plot.y),
                   caption=wording.in_time(plot.caption))


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def script(plot: Plot, png: Path) -> str:
    lines = [f"set terminal pngcairo noenhanced size 1000,520 font 'sans,11'", f"set output {quoted(str(png))}",
             f"set title {quoted(plot.title)}", f"set ylabel {quoted(plot.y)}", "set grid ytics",
             "set key outside right top" if plot.lines or plot.stacks else "set key off"]
    if plot.log_y:
        lines.append("set logscale y 2")
    else:
        lines += ["set yrange [0:*]", "set offsets 0, 0, graph 0.08, 0"]  # labels stand on the bars
    if plot.level is not None:
        lines.append(f"set arrow from graph 0, first {plot.level} to graph 1, first {plot.level} "
                     "nohead lc rgb '#888888' dt 2")
    data, drawn = [], []
    for i, line in enumerate(plot.lines):
        data.append(f"$d{i} << END\n" + "".join(f"{x} {y}\n" for x, y in line.points) + "END")
        style = "dt 2 pt 6" if line.published else "lw 2 pt 7"
        if line.colour is not None:
            style += f" lc {line.colour}"
        drawn.append(f"$d{i} using 1:2 with linespoints {style} title {quoted(line.title)}")
    if plot.lines:
        across = f"set xrange [{plot.x_range[0]}:{plot.x_range[1]}]" if plot.x_range else "set logscale x 2"
        lines += [across, f"set xlabel {quoted(plot.x)}"]
    if plot.bars:
        rows = "".join(f'{i} {bar.value} {bar.low} {bar.high} "{bar.title}"\n'
                       for i, bar in enumerate(plot.bars))
        data.append(f"$bars << END\n{rows}END")
        lines += ["set style fill solid 0.6 noborder", "set boxwidth 0.6",
                  f"set xrange [-0.6:{len(plot.bars) - 0.4}]"]
        drawn.append("$bars using 1:2:xtic(5) with boxes lc rgb '#2563eb', "
                     "$bars using 1:2:3:4 with yerrorbars lc rgb '#223344' pt 0, "
                     "$bars using 1:2:(sprintf('%.3g', $2)) with labels offset 0,0.8")
    if plot.stacks:
        layers = list(plot.stacks[0].layers)
        rows = "".join(f'"{stack.title}" {" ".join(str(stack.layers[layer]) for layer in layers)}\n'
                       for stack in plot.stacks)
        data.append(f"$stacks << END\n{rows}END")
        lines += ["set style data histograms", "set style histogram rowstacked", "set boxwidth 0.6",
                  "set style fill solid 0.8 noborder", "set key reverse Left invert", "set linetype 1 lc rgb '#c8ccd4'"]
        drawn += [f"$stacks using {i}:xtic(1) title {quoted(layer)}" for i, layer in enumerate(layers, 2)]
    return "\n".join([*data, *lines, "plot " + ", ".join(drawn), ""])


def draw(plot: Plot, png: Path) -> None:
    if shutil.which("gnuplot") is None:
        raise HarnessError("gnuplot is not installed: run `./run setup`")
    made = subprocess.run(["gnuplot"], input=script(plot, png), capture_output=True, text=True,
                          check=False)
    if made.returncode or made.stderr or not png.exists():
        raise HarnessError(f"gnuplot could not draw {plot.name}: {made.stderr}")
