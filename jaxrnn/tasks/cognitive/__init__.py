"""Cognitive tasks: what animals and networks do in the laboratory, as pure functions of a key.

    flip_flop             remember the sign of the last pulse of each channel
    perceptual_decision   report the sign of noisy evidence
    context_decision      report the sign of the evidence in the modality that a context selects
    delayed_match         say whether two stimuli, a delay apart, match
    working_memory        say which of two frequencies, a delay apart, was higher
    ready_set_go          measure an interval and reproduce it
    sine_wave             oscillate at a frequency that a constant input sets
    multi_task            perform one of eight tasks, selected by a rule input

Each is `draw(key, trials, …) -> Trials(inputs, targets, mask, conditions)`.  `decisions` and `produced_intervals` read
the answers of a network; `trials_from` draws trials from NeuroGym's environments.  `jaxrnn train --task flip-flop` and
the others train a network, for example a rate network with Dale's principle, and plot its answers.

Chapter 2.1.1 and 3.1; Sussillo & Barak 2013; Mante et al. 2013; Yang et al. 2019; Molano-Mazón et al. 2022.
"""

from jaxrnn.machines.plain_trees import register_records
from jaxrnn.tasks.cognitive.comparisons import delayed_match, working_memory
from jaxrnn.tasks.cognitive.decision_commands import ContextDecision, MultiTask, PerceptualDecision
from jaxrnn.tasks.cognitive.decisions import RULES, context_decision, multi_task, perceptual_decision
from jaxrnn.tasks.cognitive.environments import RecordedEpisode, run_episode, trials_from
from jaxrnn.tasks.cognitive.memory_commands import DelayedMatch, FlipFlop, ReadySetGo, SineWave, WorkingMemory
from jaxrnn.tasks.cognitive.patterns_in_time import flip_flop, produced_intervals, ready_set_go, sine_wave
from jaxrnn.tasks.cognitive.trials import Trials, decisions

__all__ = [
    "RULES",
    "ContextDecision",
    "DelayedMatch",
    "FlipFlop",
    "MultiTask",
    "PerceptualDecision",
    "ReadySetGo",
    "RecordedEpisode",
    "SineWave",
    "Trials",
    "WorkingMemory",
    "context_decision",
    "decisions",
    "delayed_match",
    "flip_flop",
    "multi_task",
    "perceptual_decision",
    "produced_intervals",
    "ready_set_go",
    "run_episode",
    "sine_wave",
    "trials_from",
    "working_memory",
]

register_records(__name__)
