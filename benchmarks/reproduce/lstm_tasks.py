"""The six tasks of the paper that introduced the LSTM, with its networks and its criteria of success.

"as in 1997" trains the LSTM without forget gates, with truncated gradients, by SGD on one sequence at a time, at the
paper's learning rates; "modern" trains an LSTM with forget gates by Adam.  `lstm_training` states both.

    1    embedded Reber grammar: every possible next symbol above every other, in 256 + 256 strings
    2    the first symbol again after a long lag: every error below 0.25 (2a, 2b) or 0.2 (2c) in 10,240 sequences
    3    which of two sequences: ST1, at most 0 (3b: 5) of 256 wrong; ST2, and the mean error small
    4, 5 the sum, the product of two marked numbers: 2,000 successive sequences within 0.04 (5: but for 140, 13)
    6    temporal order: 2,000 successive sequences within 0.3

Paper: Hochreiter & Schmidhuber 1997, §5, tables 1 to 9.

    python -m benchmarks.reproduce.lstm_tasks                # three tasks, 2 seeds: a minute
    python -m benchmarks.reproduce.lstm_tasks --full         # all tasks, 5 seeds: hours
"""

from functools import partial
from statistics import mean

import tyro

from benchmarks.reproduce import lstm_problems as problems
from benchmarks.reproduce import on_one_thread_each, results
from benchmarks.reproduce.lstm_criteria import Stage, Task
from benchmarks.reproduce.lstm_training import BATCHES, TESTED, run


def long_lag(regular: bool, gates: tuple[float, ...] = ()) -> Task:
    """Return task 2a or 2b at p = 100: one cell beside connections from every input to every output.

    The paper has no biases; `gates` is that of the input gate.
    """
    problem, network = partial(problems.long_lag, symbols=100, regular=regular), {"direct": True, "grows": True}
    biases, judged = ("gates",) if gates else (), {"within": 0.25, "fresh": 10_240, "check": 256}
    return Task(problem, 101, 101, 1, 1, 1.0, 0.2, 100, gates, (), biases, every_step=True, **network, **judged)


def very_long_lag(symbols: int, lag: int) -> Task:
    """Return task 2c with p distractors and a lag of q + 1: two cells."""
    problem = partial(problems.very_long_lag, symbols=symbols, lag=lag)
    return Task(problem, symbols + 4, 2, 2, 1, 0.01, 0.2, lag=lag, biases=(), within=0.2, fresh=10_240)


def two_sequences(length: int, informative: int, noise: str) -> Task:
    """Return task 3a, 3b or 3c, with the paper's two criteria."""
    within, rate, last = {
        "after": (0.2, 1.0, Stage("ST2", 0, 0.01)),
        "everywhere": (0.2, 1.0, Stage("ST2", 5, 0.04)),
        "targets": (0.1, 0.1, Stage("learned", 0, 0.015)),
    }[noise]
    stages = (last,) if noise == "targets" else (Stage("ST1", last.wrong), last)
    problem = partial(problems.two_sequences, length=length, informative=informative, noise=noise)
    gates = {"input_gates": (-1.0, -3.0, -5.0), "output_gates": (-2.0, -4.0, -6.0), "biases": ("gates", "cells")}
    return Task(problem, 1, 1, 3, 1, rate, 0.1, lag=length, within=within, stages=stages, **gates)


def marked_numbers(length: int, product: bool, linear: bool = False) -> Task:
    """Return task 4 or 5: two blocks of two cells."""
    problem = partial(problems.marked_numbers, length=length, product=product)
    stages = (Stage("140", 140), Stage("13", 13)) if product else (Stage("learned", 0, 0.01),)
    gates, rate = ((), 0.1) if product else ((-3.0, -6.0), 0.5)
    return Task(problem, 2, 1, 2, 2, rate, 0.1, length, gates, within=0.04, stages=stages, recent=2000, linear=linear)


def order(letters: int, rate: float) -> Task:
    """Return task 6a or 6b: as many blocks of two cells as there are letters."""
    gates = (-2.0, -4.0, -6.0)[:letters]
    problem, stages = partial(problems.order, letters=letters), (Stage("learned", 0, 0.1),)
    classes = 2**letters
    return Task(problem, 8, classes, letters, 2, rate, 0.1, 100, gates, within=0.3, stages=stages, recent=2000)


def reber(rate: float) -> Task:
    """Return task 1: three blocks of two cells."""
    gates = {"output_gates": (-1.0, -2.0, -3.0), "biases": ("gates",)}
    return Task(
        problems.embedded_reber, 7, 7, 3, 2, rate, 0.2, lag=10, every_step=True, strings=256, check=128, **gates
    )


TASKS = {
    # name: (the task, the paper's sequences, the most sequences of each training here)
    "1 Reber": (reber(0.5), "8,440 (30 of 30)", 60_000),
    "1 Reber, rate 0.1": (reber(0.1), "21,730 (30 of 30)", 60_000),
    "2a, p 100": (long_lag(regular=True), "5,040 (18 of 18)", 30_000),
    "2a, gate closed": (long_lag(regular=True, gates=(-3.0,)), "5,040 (18 of 18)", 30_000),
    "2b, p 100": (long_lag(regular=False), "5,680 (18 of 18)", 30_000),
    "2c, p 50, q 50": (very_long_lag(50, 50), "30,000 (20 of 20)", 100_000),
    "2c, p 100, q 100": (very_long_lag(100, 100), "31,000 (20 of 20)", 100_000),
    "2c, p 200, q 200": (very_long_lag(200, 200), "33,000 (20 of 20)", 100_000),
    "3a, N 3": (two_sequences(100, 3, "after"), "ST1 27,380, ST2 39,850", 150_000),
    "3a, N 1": (two_sequences(100, 1, "after"), "ST1 58,370, ST2 64,330", 150_000),
    "3b, N 3": (two_sequences(100, 3, "everywhere"), "ST1 41,740, ST2 43,250", 150_000),
    "3b, N 1": (two_sequences(100, 1, "everywhere"), "ST1 74,950, ST2 78,430", 150_000),
    "3c, N 3": (two_sequences(100, 3, "targets"), "269,650", 500_000),
    "3c, N 1": (two_sequences(100, 1, "targets"), "565,640", 800_000),
    "4, T 100": (marked_numbers(100, product=False), "74,000", 200_000),
    "4, T 500": (marked_numbers(500, product=False), "209,000", 400_000),
    "4, T 1000": (marked_numbers(1000, product=False), "853,000", 1_000_000),
    "4, T 100, linear": (marked_numbers(100, product=False, linear=True), "74,000", 200_000),
    "4, T 500, linear": (marked_numbers(500, product=False, linear=True), "209,000", 400_000),
    "4, T 1000, linear": (marked_numbers(1000, product=False, linear=True), "853,000", 1_000_000),
    "5, T 100": (marked_numbers(100, product=True), "140: 482,000, 13: 1,273,000", 1_500_000),
    "6a": (order(2, 0.5), "31,390", 100_000),
    "6b": (order(3, 0.1), "571,100", 800_000),
}
NOT_IN_THE_PAPER = {"2a, gate closed", "4, T 100, linear", "4, T 500, linear", "4, T 1000, linear"}
"""Tasks with a network of 1997 that differs from the paper's: an input gate of bias −3, or a linear output."""
FAST = {"3a, N 3": 50_000, "4, T 100": 50_000, "6a": 50_000}


def plan(
    full: bool = False,
    again: bool = False,
    tasks: tuple[str, ...] = (),
    trainings: tuple[str, ...] = tuple(BATCHES),
    seeds: int = 0,
    first_seed: int = 0,
    sequences: int = 0,
) -> results.Plan:
    """Plan a case for each task and training.

    Args:
        full: every task, 5 seeds, in place of three tasks and 2 seeds.
        again: measure again what is stored; without `full` everything is measured again.
        tasks: which tasks, such as "6a".
        trainings: which trainings.
        seeds: another number of seeds.
        first_seed: the first of them.
        sequences: train each network on so many sequences at most.
    """
    seeds = seeds or (5 if full else 2)
    chosen = {
        name: sequences or (TASKS[name][2] if full else FAST.get(name, 20_000))
        for name in tasks or (TASKS if full else FAST)
    }
    cases = [
        results.Case(
            "lstm_tasks",
            {"task": name, "training": training, "sequences": most, "seeds": seeds, "first_seed": first_seed},
            partial(run, TASKS[name][0], training, most, range(first_seed, first_seed + seeds)),
            show,
            TASKS[name][1],
            seeds,
            TASKS[name][0].lag * most * seeds,
        )
        for name, most in chosen.items()
        for training in trainings
        if training != "modern" or name not in NOT_IN_THE_PAPER
    ]
    return results.Plan(cases, again or not full)


def show(figures: dict) -> str:
    """Return, of each stage, how many seeds passed it and after how many sequences; the wrong ones of 2,560."""
    stages = ["{} {} / {}{}".format(name, *outcome(after)) for name, after in figures["after"].items()]
    return f"{', '.join(stages)}; wrong {' '.join(map(str, figures['wrong']))} of {TESTED:,}"


def outcome(after: list[int]) -> tuple[int, int, str]:
    """Return how many seeds passed a stage, of how many, and the mean of their sequences in words."""
    passed = [n for n in after if n]
    return len(passed), len(after), f" after {mean(passed):,.0f}" if passed else ""


if __name__ == "__main__":
    on_one_thread_each()
    results.run(tyro.cli(plan, description=__doc__))
