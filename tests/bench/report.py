"""Results as a table on the terminal, as Markdown, and as plots."""

import os
import pathlib
import platform
import subprocess

VERDICT = {True: "met", False: "MISSED", None: ""}


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def figure(row, result):
    """The median, and the range if there are several readings."""
    ratio = result.ratio
    text = f"{number(ratio.median)} {row.unit}"
    if len(ratio.readings) > 1:
        text += f" ({number(ratio.least)}–{number(ratio.most)})"
    return text


def bound(row):
    return row.target.replace(">=", "≥").replace("<=", "≤")


def why(fault):
    """One line that fits into a table."""
    return " ".join(str(fault).split())[:200]


def line(row, result):
    """For the terminal, as soon as it is known."""
    if isinstance(result, Exception):
        return f"{row.name:20} NOT MEASURED: {why(result)}"
    return (f"{row.name:20} {figure(row, result):28} {bound(row):8} "
            f"{VERDICT[row.is_met(result)]:7} {result.ours} | {result.theirs}"
            f"{' | ' + result.note if result.note else ''}")


def machine():
    model = next((text.partition(":")[2].strip() for text in
                  pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                  if text.startswith("model name")), platform.machine())
    compiler = subprocess.run(["cc", "--version"], capture_output=True, text=True,
                              check=True).stdout.splitlines()[0]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (f"{model}, {os.cpu_count()} cores, {memory:.0f} GB; Linux {platform.release()}; "
            f"{compiler}")


def cells(*texts):
    return "| " + " | ".join(text.replace("|", "\\|") for text in texts) + " |"


def as_markdown(results, seconds, steal):
    rows = ["| name | measured | against | must reach | median (from–to) | | ours | theirs |",
            "|---|---|---|---|---|---|---|---|"]
    for row, result in results:
        begin = (f"`{row.name}`", row.what, row.against, bound(row))
        if isinstance(result, Exception):
            rows.append(cells(*begin, f"not measured: {why(result)}", "", "", ""))
            continue
        ours = f"{result.ours} ({result.note})" if result.note else result.ours
        rows.append(cells(*begin, figure(row, result), VERDICT[row.is_met(result)], ours,
                          result.theirs))
    return (f"Measured in {seconds:.0f} s on {machine()}. The host gave "
            f"{100 * steal:.0f} % of the processor time to others.\n\n" + "\n".join(rows) + "\n")


def stages_as_markdown(stages):
    rows = ["| µs for 100 lines | " + " | ".join(stages) + " |", "|---|" + "---|" * len(stages)]
    for stage in next(iter(stages.values())):
        # A difference of two readings may be negative.
        cells = (f"{max(us[stage], 0):.1f}" for us in stages.values())
        rows.append(f"| {stage} | " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def document(path, text):
    """Puts the results into a page, between the marks that it has for them."""
    begin, end = "<!-- results -->\n", "<!-- end of results -->\n"
    page = path.read_text()
    head, _, rest = page.partition(begin)
    path.write_text(head + begin + "\n" + text + "\n" + end + rest.partition(end)[2])


# ---- plots ----

def bars(axes, results, title, log=False):
    """A bar for each row with its range, and a mark at its target."""
    results = [(row, result) for row, result in results if not isinstance(result, Exception)]
    for i, (row, result) in enumerate(results):
        ratio = result.ratio
        colour = {True: "#4c8c5a", False: "#c0504d", None: "#8c8c8c"}[row.is_met(result)]
        axes.barh(i, ratio.median, color=colour, height=0.6,
                  xerr=[[ratio.median - ratio.least], [ratio.most - ratio.median]],
                  error_kw={"ecolor": "#303030", "capsize": 3})
        if row.target:
            axes.plot([float(row.target.split()[1])] * 2, [i - 0.4, i + 0.4], color="black",
                      linewidth=2)
    axes.set_yticks(range(len(results)), [row.name for row, _ in results])
    axes.invert_yaxis()
    axes.set_title(title)
    if log:
        axes.set_xscale("log")


PLOTS = {
    "ingest": ("CPU of the other side, over ours (black: target)",
               ("ingest-", "rules-", "connections-", "drains-"), False),
    "peers": ("Times better than the tools of today (black: target)",
              ("flask-", "scan", "replay", "alert", "alert-loaded", "alert-prometheus"), True),
}


def plot(results, folder):
    """Writes the plots for which there are results, and returns their paths."""
    import matplotlib
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "drainwatch"
    from matplotlib import pyplot
    plots = []
    for name, (title, rows, log) in PLOTS.items():
        chosen = [(row, result) for row, result in results
                  if any(row.name == r or r.endswith("-") and row.name.startswith(r) for r in rows)]
        if not chosen:
            continue
        figure_, axes = pyplot.subplots(figsize=(9, 0.42 * len(chosen) + 1.2))
        bars(axes, chosen, title, log)
        figure_.tight_layout()
        plots.append(folder / f"{name}.svg")
        figure_.savefig(plots[-1], metadata={"Date": None})
        pyplot.close(figure_)
    return plots
