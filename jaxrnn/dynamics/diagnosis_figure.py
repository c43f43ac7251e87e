"""A `Diagnosis` as one page: the flow of the gradient, the spectrum, saturation, clipping, and the advice."""

import textwrap

import numpy as np


def draw(diagnosis):
    """Draw four panels and the advice below them, as a `matplotlib.figure.Figure`."""
    from matplotlib.figure import Figure  # no pyplot: no display is looked for

    figure = Figure(figsize=(10, 7.6), dpi=110)
    axes = figure.subplots(2, 2)
    _flow(axes[0, 0], diagnosis)
    _spectrum(axes[0, 1], diagnosis)
    _saturation(axes[1, 0], diagnosis)
    _clipping(axes[1, 1], diagnosis)
    for ax in axes.flat:
        ax.grid(alpha=0.25)
        ax.spines[["top", "right"]].set_visible(False)
    rate = f"{diagnosis.rate:.3g} a step" if np.isfinite(diagnosis.rate) else "not finite"
    figure.suptitle(f"{diagnosis.verdict}: {rate}", fontsize=14, fontweight="bold")
    figure.text(0.06, 0.02, "\n".join(textwrap.wrap(diagnosis.advice, 128)), fontsize=10, va="bottom")
    figure.subplots_adjust(left=0.08, right=0.97, top=0.9, bottom=0.18, hspace=0.42, wspace=0.25)
    return figure


def _label_few(axis, low: float, high: float):
    """Put a few plain numbers on a logarithmic axis, which otherwise labels ten in a decade, over one another."""
    from matplotlib.ticker import FormatStrFormatter, LogLocator, MaxNLocator, NullFormatter

    if low > 0 and high < 10 * low:
        axis.set_major_locator(MaxNLocator(4))
        axis.set_major_formatter(FormatStrFormatter("%g"))
    else:
        axis.set_major_locator(LogLocator(numticks=6))
    axis.set_minor_formatter(NullFormatter())


def _flow(ax, diagnosis):
    """Draw the gradient over t, for the whole loss and for the last step only."""
    steps = np.arange(1, len(diagnosis.profile) + 1)
    for values, style, label in (
        (diagnosis.profile, "o-", "‖∇h(t) L‖"),
        (diagnosis.flow[::-1] * diagnosis.profile[-1], ".--", "what comes from a row's last step"),
    ):
        shown = np.where(np.isfinite(values) & (values > 0), values, np.nan)
        ax.plot(steps[-len(shown) :], shown, style, markersize=3, label=label)
    ax.set(xlabel="t", yscale="log", title="Gradient flow", xlim=(0, len(steps) + 1))
    _label_few(ax.yaxis, *ax.get_ylim())
    ax.legend(frameon=False, fontsize=8)


def _spectrum(ax, diagnosis):
    """Draw |λ| of every J(t), and the rates exp(λᵢ) of the whole run."""
    steps = np.arange(1, len(diagnosis.eigenvalues) + 1)
    ax.plot(steps, diagnosis.eigenvalues, ".", color="tab:gray", markersize=2, alpha=0.5)
    ax.plot(steps, diagnosis.eigenvalues[:, 0], "-", color="tab:blue", linewidth=1, label="spectral radius of J(t)")
    for i, exponent in enumerate(diagnosis.lyapunov):
        label = "exp of the Lyapunov exponents" if i == 0 else None
        ax.axhline(
            np.exp(exponent) if np.isfinite(exponent) else np.nan,
            color="tab:red",
            linewidth=0.8,
            alpha=0.7,
            label=label,
        )
    ax.axhline(1, color="black", linestyle=":", linewidth=1)
    ax.set(xlabel="t", xlim=(0, len(steps) + 1), title="Spectrum of ∂h(t)/∂h(t−1), first row")
    ax.set_ylim(0, 1.3 * max(1.0, ax.get_ylim()[1]))  # room for the legend
    ax.legend(frameon=False, fontsize=8, loc="upper right", ncols=2)


def _saturation(ax, diagnosis):
    """Draw how often each entry of z is saturated."""
    order = np.sort(diagnosis.flat)[::-1]
    ax.fill_between(np.arange(len(order) + 1), np.append(order, order[-1]), step="post", alpha=0.6)
    ax.axhline(diagnosis.saturation, color="black", linestyle=":", linewidth=1)
    ax.set(
        xlabel="what the units read (entries of z), sorted",
        ylabel="part of the time",
        ylim=(0, 1),
        title=f"Saturation: {diagnosis.saturation:.0%} does not move the state",
    )


def _clipping(ax, diagnosis):
    """Draw the gradient norms of the rows against the limit."""
    from matplotlib.ticker import MaxNLocator

    norms = diagnosis.row_norms[np.isfinite(diagnosis.row_norms) & (diagnosis.row_norms > 0)]
    if len(norms):
        low, high = np.log10(norms.min()) - 0.1, np.log10(norms.max()) + 0.1
        ax.hist(norms, bins=np.logspace(low, high, 20), alpha=0.6)
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    ax.axvline(diagnosis.clip, color="tab:red", linewidth=1, label=f"v = {diagnosis.clip:g}")
    ax.set(
        xscale="log", xlabel="‖∇θ L‖ of a row", ylabel="rows", title=f"Clipping: {diagnosis.clipping:.0%} of the rows"
    )
    _label_few(ax.xaxis, *ax.get_xlim())
    ax.legend(frameon=False, fontsize=8)
