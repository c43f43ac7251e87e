"""The pictures that open the sections of the chapter: `python docs/pictures.py` writes docs/pictures/*.svg.

Each is drawn from a few nodes and arrows in black and gray, so that it reads in print as well.
"""

from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

OUT = Path(__file__).parent / "pictures"
LIGHT, GREY = "#e8e8e8", "#8a8a8a"


def main() -> None:
    plt.rcParams.update({"font.size": 12, "svg.hashsalt": "jaxrnn", "mathtext.fontset": "cm"})
    OUT.mkdir(exist_ok=True)
    for draw in (unfolding, recursion, distance, attention, tree, reservoir, lstm, memory):
        figure, axes = plt.subplots(figsize=(8, 3.2))
        draw(axes)
        figure.savefig(OUT / f"{draw.__name__}.svg", bbox_inches="tight", metadata={"Date": None})
        plt.close(figure)


def canvas(axes: Axes, width: float, height: float) -> None:
    axes.set(xlim=(0, width), ylim=(0, height), aspect="equal")
    axes.axis("off")


def node(axes: Axes, x: float, y: float, text: str, fill: str = "white", radius: float = 0.34) -> None:
    axes.add_patch(plt.Circle((x, y), radius, facecolor=fill, edgecolor="black", zorder=2))
    axes.text(x, y, text, ha="center", va="center", zorder=3)


def box(
    axes: Axes, x: float, y: float, text: str, width: float = 0.8, height: float = 0.6, fill: str = "white"
) -> None:
    corner = (x - width / 2, y - height / 2)
    axes.add_patch(plt.Rectangle(corner, width, height, facecolor=fill, edgecolor="black", zorder=2))
    axes.text(x, y, text, ha="center", va="center", zorder=3)


def arrow(axes: Axes, start: tuple, end: tuple, text: str = "", gap: float = 13, bend: float = 0, **line) -> None:
    """Draw an arrow from node to node; `gap` is what it leaves free of each, in points."""
    style = {"arrowstyle": "-|>", "color": "black", "shrinkA": gap, "shrinkB": gap, **line}
    axes.annotate("", end, start, arrowprops=style | {"connectionstyle": f"arc3,rad={bend}"}, zorder=1)
    if text:
        x, y = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
        aside = (0.0, 0.2) if start[1] == end[1] else (0.22, 0.0)
        axes.text(x + aside[0], y + aside[1], text, ha="center", va="center")


def unfolding(axes: Axes) -> None:
    """Draw 一: the loop, and the same map at every step."""
    canvas(axes, 10, 3.2)
    node(axes, 1, 2.2, "$h$", LIGHT)
    node(axes, 1, 0.7, "$x$")
    arrow(axes, (1, 0.7), (1, 2.2))
    loop = {"arrowstyle": "-|>", "color": "black", "connectionstyle": "arc3,rad=-1.7", "shrinkA": 2, "shrinkB": 2}
    axes.annotate("", (1.25, 2.46), (0.75, 2.46), arrowprops=loop)
    axes.text(1.62, 2.85, "$f$", ha="center")
    axes.text(2.5, 1.45, "unfold\n=", ha="center", va="center")
    names = ["t-1", "t", "t+1"]
    axes.text(3.5, 2.2, "$\\cdots$", ha="center", va="center")
    for i, name in enumerate(names):
        x = 4.8 + 1.8 * i
        node(axes, x, 2.2, f"$h^{{({name})}}$", LIGHT, 0.45)
        node(axes, x, 0.7, f"$x^{{({name})}}$", radius=0.45)
        arrow(axes, (x, 0.7), (x, 2.2), gap=17)
        arrow(axes, (x - 1.8, 2.2) if i else (3.6, 2.2), (x, 2.2), "$f$", gap=17)
    arrow(axes, (8.4, 2.2), (9.8, 2.2), "$f$", gap=17)


def recursion(axes: Axes) -> None:
    """Draw 二: the signal forwards, the gradient backwards."""
    canvas(axes, 12, 4.6)
    for i, name in enumerate(["t-1", "t", "t+1"]):
        x = 1.6 + 4.2 * i
        node(axes, x, 0.6, f"$x^{{({name})}}$", radius=0.45)
        node(axes, x, 2.1, f"$h^{{({name})}}$", LIGHT, 0.45)
        node(axes, x, 3.8, f"$o^{{({name})}}$", radius=0.45)
        arrow(axes, (x, 0.6), (x, 2.1), "$U$", gap=17)
        arrow(axes, (x - 0.12, 2.1), (x - 0.12, 3.8), gap=17)
        axes.text(x - 0.36, 2.95, "$V$", ha="center", va="center")
        arrow(axes, (x + 0.12, 3.8), (x + 0.12, 2.1), gap=17, color=GREY, linestyle="--")
        axes.text(x + 0.75, 3.05, "$V^\\top\\nabla_o$", ha="center", va="center", color="#555555")
        if i:
            arrow(axes, (x - 4.2, 2.2), (x, 2.2), "$W$", gap=18)
            arrow(axes, (x, 1.95), (x - 4.2, 1.95), gap=18, color=GREY, linestyle="--")
            label = "$W^\\top \\mathrm{diag}(1-h^2)\\nabla_h$"
            axes.text(x - 2.1, 1.6, label, ha="center", va="center", color="#555555", fontsize=11)


def distance(axes: Axes) -> None:
    """Draw 三: the length of a gradient after t steps back."""
    steps = np.arange(0, 101)
    for radius, style in ((0.9, ":"), (1.0, "-"), (1.1, "--")):
        axes.semilogy(steps, radius**steps, "k" + style)
        axes.text(102, radius**100, f"$|\\lambda|={radius}$", va="center")
    axes.set(xlabel="steps back, $t$", ylabel="$|\\lambda|^t$", xlim=(0, 100))
    axes.spines[["top", "right"]].set_visible(False)


def attention(axes: Axes) -> None:
    """Draw 四: an encoder, a decoder, and the states that the decoder attends to."""
    canvas(axes, 11, 4.2)
    for i in range(4):
        x = 1 + 1.3 * i
        node(axes, x, 0.5, f"$x_{i + 1}$")
        node(axes, x, 1.8, f"$h_{i + 1}$", LIGHT)
        arrow(axes, (x, 0.5), (x, 1.8))
        if i:
            arrow(axes, (x - 1.3, 1.8), (x, 1.8))
        width = (0.4, 2.4, 0.9, 0.4)[i]
        arrow(axes, (x, 1.8), (5.6, 3.4), linewidth=width, color=GREY)
    box(axes, 5.6, 3.4, "$\\Sigma_s\\,\\alpha_{ts} h_s$", 1.7)
    arrow(axes, (5.6, 3.4), (8.3, 1.8), "", gap=17)
    arrow(axes, (4.9, 1.8), (7, 1.8), "$C$")
    for i in range(3):
        x = 7 + 1.3 * i
        node(axes, x, 1.8, f"$s_{i + 1}$", LIGHT)
        node(axes, x, 3.4, f"$y_{i + 1}$")
        arrow(axes, (x, 1.8), (x, 3.4))
        if i:
            arrow(axes, (x - 1.3, 1.8), (x, 1.8))
    axes.text(2.95, -0.1, "encoder", ha="center")
    axes.text(8.3, 0.9, "decoder", ha="center")


def tree(axes: Axes) -> None:
    """Draw 五: a tree is log τ deep where a chain is τ deep."""
    canvas(axes, 11, 3.6)
    for i in range(4):
        node(axes, 0.8 + 1.1 * i, 0.5, f"$x_{i + 1}$")
        node(axes, 0.8 + 1.1 * i, 1.8, "", LIGHT)
        arrow(axes, (0.8 + 1.1 * i, 0.5), (0.8 + 1.1 * i, 1.8))
        if i:
            arrow(axes, (1.1 * i - 0.3, 1.8), (0.8 + 1.1 * i, 1.8))
        node(axes, 6.5 + 1.2 * i, 0.5, f"$x_{i + 1}$")
        arrow(axes, (6.5 + 1.2 * i, 0.5), (7.1 + 2.4 * (i // 2), 1.7))
    for i in range(2):
        node(axes, 7.1 + 2.4 * i, 1.7, "", LIGHT)
        arrow(axes, (7.1 + 2.4 * i, 1.7), (8.3, 2.9))
    node(axes, 8.3, 2.9, "$h$", LIGHT)
    axes.text(2.4, 2.6, "depth $\\tau$", ha="center")
    axes.text(9.9, 2.8, "depth $\\log_2\\tau$", ha="center")


def reservoir(axes: Axes) -> None:
    """Draw 六: weights that are drawn once, and a read-out that is solved for."""
    canvas(axes, 10, 3.6)
    rng = np.random.default_rng(3)
    angles = np.linspace(0, 2 * np.pi, 9, endpoint=False)
    points = [(5 + 1.7 * np.cos(a), 1.8 + 1.25 * np.sin(a)) for a in angles]
    for i, start in enumerate(points):
        for j in rng.choice(9, 2, replace=False):
            if i != j:
                arrow(axes, start, points[j], gap=9, color=GREY, bend=0.15, linewidth=0.8)
        node(axes, *start, "", LIGHT, 0.24)
    node(axes, 1.2, 1.8, "$x$", radius=0.4)
    node(axes, 8.8, 1.8, "$o$", radius=0.4)
    for point in (points[4], points[5], points[3]):
        arrow(axes, (1.2, 1.8), point, color=GREY, linewidth=0.8)
    for point in (points[0], points[1], points[8], points[2], points[7]):
        arrow(axes, point, (8.8, 1.8), linewidth=1.8)
    axes.text(2.2, 0.6, "drawn once", ha="center", color="#555555")
    axes.text(8.4, 0.6, "solved for", ha="center")


def lstm(axes: Axes) -> None:
    """Draw 七: the state C runs along the top; three gates decide what enters, stays and leaves."""
    canvas(axes, 11, 4.4)
    axes.add_patch(plt.Rectangle((1.6, 0.9), 7.6, 3.1, fill=False, edgecolor=GREY))
    arrow(axes, (0.4, 3.4), (10.6, 3.4), gap=0, linewidth=2)
    axes.text(0.4, 3.65, "$C^{(t-1)}$", ha="center")
    axes.text(10.5, 3.65, "$C^{(t)}$", ha="center")
    for x, text in ((2.6, "$f$"), (4.2, "$i$"), (5.6, "$g$"), (7.2, "$o$")):
        box(axes, x, 1.6, text, 0.8, 0.5, LIGHT)
        arrow(axes, (x, 0.4), (x, 1.6), gap=9, shrinkA=0)
    node(axes, 2.6, 3.4, "$\\times$", radius=0.22)
    arrow(axes, (2.6, 1.6), (2.6, 3.4), gap=9)
    node(axes, 4.9, 2.5, "$\\times$", radius=0.22)
    arrow(axes, (4.2, 1.6), (4.9, 2.5), gap=9)
    arrow(axes, (5.6, 1.6), (4.9, 2.5), gap=9)
    node(axes, 4.9, 3.4, "$+$", radius=0.22)
    arrow(axes, (4.9, 2.5), (4.9, 3.4), gap=8)
    box(axes, 8.2, 2.6, "tanh", 0.9, 0.45)
    arrow(axes, (8.2, 3.4), (8.2, 2.6), gap=8, shrinkA=0)
    node(axes, 8.2, 1.6, "$\\times$", radius=0.22)
    arrow(axes, (8.2, 2.6), (8.2, 1.6), gap=9)
    arrow(axes, (7.2, 1.6), (8.2, 1.6), gap=9)
    arrow(axes, (8.2, 1.6), (10.6, 1.6), gap=8)
    axes.text(10.5, 1.85, "$h^{(t)}$", ha="center")
    axes.plot([0.4, 7.2], [0.4, 0.4], "k")
    axes.text(0.9, 0.6, "$h^{(t-1)},\\ x^{(t)}$", ha="center")


def memory(axes: Axes) -> None:
    """Draw 八: a controller, and heads that read and write all rows at once, some more than others."""
    canvas(axes, 10, 4)
    box(axes, 1.8, 2, "controller", 2, 1.2, LIGHT)
    arrow(axes, (1.8, 0.1), (1.8, 1.5), gap=3)
    axes.text(2.1, 0.4, "$x$")
    arrow(axes, (1.8, 2.5), (1.8, 3.9), gap=3)
    axes.text(2.1, 3.4, "$o$")
    box(axes, 4.8, 2.9, "write head", 1.7)
    box(axes, 4.8, 1.1, "read head", 1.7)
    arrow(axes, (2.8, 2.3), (3.95, 2.9), gap=1)
    arrow(axes, (3.95, 1.1), (2.8, 1.7), gap=1)
    shades = (0.98, 0.9, 0.45, 0.8, 0.97, 0.98)
    for i, shade in enumerate(shades):
        y = 0.5 + 0.6 * i
        axes.add_patch(plt.Rectangle((7, y - 0.3), 2.2, 0.6, facecolor=str(shade), edgecolor="black"))
        width = 0.4 + 4 * (1 - shade)
        arrow(axes, (5.65, 2.9), (7, y), gap=1, linewidth=width, color=GREY)
        arrow(axes, (7, y), (5.65, 1.1), gap=1, linewidth=width, color=GREY)
    axes.text(8.1, 4.0, "memory", ha="center")


if __name__ == "__main__":
    main()
