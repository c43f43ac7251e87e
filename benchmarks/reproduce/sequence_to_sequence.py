"""Two findings about encoder-decoders: sources in reverse, and the score against the length with and without attention.

Sutskever, Vinyals & Le 2014, §3.3: an LSTM without attention translates better when it reads each source backwards,
because the first words of a source are then close to the first words of its translation.  Here the same model is
trained on each problem twice, on sources in order and on sources reversed.  Which of them has the short lags depends on
the problem.  The answers of copy and numbers have the order of the source; an ISO date begins with the year, which all
five languages write last, so there the sources in order have the short lags.

Bahdanau, Cho & Bengio 2015, figure 2: with a context of fixed size the score falls with the length of the sentence,
with attention it does not.  Here both are trained on copy of 1 to 20 letters and tested on 2 to 40.

    python -m benchmarks.reproduce.sequence_to_sequence            # 1 seed, 300 updates: a minute and a half
    python -m benchmarks.reproduce.sequence_to_sequence --full     # 3 seeds, 2,000 updates: about 8 minutes
"""

from functools import partial

import numpy as np
import tyro

from benchmarks.reproduce import on_one_thread_each, results
from benchmarks.reproduce.encoder_decoders import EVERY, HIDDEN, LONGEST, TESTED, trained_on_length, trained_on_order

ORDERS = ("in order", "reversed")
PAPERS = {
    "in order": "perplexity 5.8, BLEU 25.9 (WMT'14)",
    "reversed": "perplexity 4.7, BLEU 30.6 (WMT'14)",
    "none": "falls with the length (figure 2, WMT'14)",
    "additive": "does not fall to 60 words (figure 2, WMT'14)",
}
LEARNED = {"copy": 0.25, "numbers": 0.5, "dates": 0.5}
"""The share of right answers up to which the updates are counted."""
EARLY = 200
"""The updates after which the perplexity is shown, beside that at the end."""
WORK = {"copy": 2.0, "numbers": 1.0, "dates": 2.0, "length": 3.0}
"""The time of an update, relative to that of numbers."""


def plan(
    full: bool = False,
    again: bool = False,
    problems: tuple[str, ...] = (),
    attentions: tuple[str, ...] = ("none", "additive"),
    seeds: int = 0,
    first_seed: int = 0,
    updates: int = 0,
    hidden: int = HIDDEN,
) -> results.Plan:
    """Plan a case for each problem, order and seed, and for each attention and seed.

    Args:
        full: 3 seeds, 2,000 updates and all problems, in place of 1, 300, and copy and dates.
        again: measure again what is stored; without `full` everything is measured again.
        problems: which of "copy", "numbers" and "dates" are read in both orders.
        attentions: which models are scored by length; "location" is known too.
        seeds: another number of seeds.
        first_seed: the first of them.
        updates: another number of updates, a multiple of 100.
        hidden: the units of encoder and decoder in the models that are scored by length.
    """
    updates, seeds = updates or (2_000 if full else 300), seeds or (3 if full else 1)
    problems = problems or (tuple(LEARNED) if full else ("copy", "dates"))
    cases = []
    for seed in range(first_seed, first_seed + seeds):
        cases += [order_case(problem, order, updates, seed) for problem in problems for order in ORDERS]
        cases += [length_case(attention, updates, seed, hidden) for attention in attentions]
    return results.Plan(cases, again or not full)


def order_case(problem: str, order: str, updates: int, seed: int) -> results.Case:
    """Return the case of a problem with sources in order or reversed."""
    settings = {"problem": problem, "source": order, "updates": updates, "seed": seed}
    run, work = partial(trained_on_order, problem, order == "in order", updates, seed), WORK[problem] * updates
    return results.Case("sequence_to_sequence", settings, run, partial(show_order, problem), PAPERS[order], 1, work)


def length_case(attention: str, updates: int, seed: int, hidden: int) -> results.Case:
    """Return the case of a model that is scored by length; its size is a setting where it is not the usual one."""
    settings = {"attention": attention, "updates": updates, "seed": seed}
    settings |= {} if hidden == HIDDEN else {"hidden": hidden}
    run = partial(trained_on_length, attention, updates, seed, hidden)
    work, paper = WORK["length"] * updates * hidden / HIDDEN, PAPERS.get(attention, "-")
    return results.Case("sequence_to_sequence", settings, run, show_length, paper, 1, work)


def reached(answers: list[float], share: float) -> int | None:
    """Return the updates after which this share of the held-out answers is right, None if it never is.

    >>> reached([0.1, 0.6, 0.4], 0.5), reached([0.1], 0.5)
    (200, None)
    """
    return next((k * EVERY for k, right in enumerate(answers, 1) if right >= share), None)


def at(figures: dict, length: int, score: str = "answers") -> float:
    """Return the score at one of the lengths that are tested."""
    return figures[score][TESTED.index(length)]


def perplexities(figures: dict) -> tuple[float, float]:
    """Return the perplexity of a symbol after 200 updates, and at the end."""
    return float(np.exp(figures["nats"][EARLY // EVERY - 1])), float(np.exp(figures["nats"][-1]))


def show_order(problem: str, figures: dict) -> str:
    """Return the perplexity at the end, the right answers, and the updates until a share of them was right."""
    share = LEARNED[problem]
    after = reached(figures["answers"], share)
    when = f"{share:.0%} after {after:,}" if after else f"never {share:.0%}"
    return f"perplexity {perplexities(figures)[1]:.3f}, {figures['answers'][-1]:.1%} right, {when}"


def show_length(figures: dict) -> str:
    """Return the right answers at three lengths."""
    lengths = LONGEST // 2, LONGEST, 2 * LONGEST
    return "right: " + ", ".join(f"{at(figures, n):.0%} at {n}" for n in lengths)


if __name__ == "__main__":
    on_one_thread_each()
    results.run(tyro.cli(plan, description=__doc__))
