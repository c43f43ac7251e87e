"""Recurrent networks as pure functions for JAX."""

from jaxrnn.associative import Algebra, linear_recurrence, unroll_associative
from jaxrnn.attention import Attention, AttentionParams, Memory, Reading
from jaxrnn.beam import Beams, beam_search
from jaxrnn.bidirectional import Bidirectional, Directions
from jaxrnn.bpts import unroll_tree_bpts
from jaxrnn.bptt import Gradients, bptt, unroll_bptt
from jaxrnn.cells.autodiff_rules import AutodiffRules
from jaxrnn.cells.clockwork import Clockwork, ClockworkCarry
from jaxrnn.cells.deep import DeepInput, DeepOutput, DeepParams, DeepTransition
from jaxrnn.cells.delays import Delays, DelaysCarry, DelaysParams
from jaxrnn.cells.dropout import Dropout
from jaxrnn.cells.elman import Elman, ElmanParams
from jaxrnn.cells.elman2d import Elman2D, Elman2DParams
from jaxrnn.cells.every_layer import EveryLayer
from jaxrnn.cells.feed_forward import FeedForward, FeedForwardParams
from jaxrnn.cells.gru import GRU, GRUParams
from jaxrnn.cells.jordan import Jordan, JordanParams
from jaxrnn.cells.layer_norm import LayerNorm, LayerNormParams
from jaxrnn.cells.leaky import Leaky, LeakyParams
from jaxrnn.cells.lif import LIF, LIFCarry, LIFParams
from jaxrnn.cells.linear import ComplexPair, LinearCell
from jaxrnn.cells.linear_unit import LinearUnit, LinearUnitParams
from jaxrnn.cells.lru import LRU, LRUParams
from jaxrnn.cells.lstm import LSTM, LSTMCarry, LSTMParams
from jaxrnn.cells.lstm2d import LSTM2D, LSTM2DParams
from jaxrnn.cells.min_gru import MinGRU, MinGRUParams
from jaxrnn.cells.min_lstm import MinLSTM, MinLSTMParams
from jaxrnn.cells.noise import DrawsNoise, Noisy, quiet, with_noise
from jaxrnn.cells.ntm import NTM, NTMCarry, NTMParams
from jaxrnn.cells.reservoir import (
    Reservoir,
    ReservoirParams,
    recurrent_matrix,
    spectral_radius,
    with_spectral_radius,
)
from jaxrnn.cells.stack import Stack
from jaxrnn.cells.state_noise import StateNoise
from jaxrnn.cells.tree_elman import TreeElman, TreeElmanParams
from jaxrnn.cells.tree_lstm import ChildSumTreeLSTM, NaryTreeLSTM, NaryTreeLSTMParams
from jaxrnn.cells.tree_rules import TreeAutodiffRules, TreeCell, TreeLocalRules
from jaxrnn.cells.zoneout import ExpectedZoneout, Zoneout
from jaxrnn.checkpointed import unroll_checkpointed
from jaxrnn.choose import Advice, choose_method
from jaxrnn.clipping import ClippingBias, ClippingState, clip_by_norm, clip_by_value, clipping_bias, random_step
from jaxrnn.decode import PADDING, Sequences, greedy, sample, sample_scan
from jaxrnn.diagnostics import Diagnosis, diagnose
from jaxrnn.echo import forgetting_rate, intrinsic_plasticity, memory_capacity
from jaxrnn.forest import Forest, ForestShape, Nodes, node_values, pack
from jaxrnn.fused.unroll import unroll_fused
from jaxrnn.generator import Generator, forced_outputs
from jaxrnn.least_squares import Tracker, track, tracker
from jaxrnn.linear import (
    Growth,
    departure_from_normality,
    growth,
    product_variance,
    sample_products,
    symmetric_power,
    weight_variance,
)
from jaxrnn.losses import (
    bernoulli,
    bits_per_character,
    cross_entropy,
    perplexity,
    sequence_log_probability,
    squared_error,
)
from jaxrnn.lyapunov import FixedPoints, fixed_points, lyapunov_spectrum
from jaxrnn.models.attended import attend
from jaxrnn.models.attending import Attending, AttendingCarry, AttendingParams
from jaxrnn.models.captioner import Captioner, CaptionerCarry, CaptionerParams
from jaxrnn.models.esn import ESN
from jaxrnn.models.feedback import Feedback, FeedbackCarry, FeedbackParams
from jaxrnn.models.head_positions import head_positions
from jaxrnn.models.memory_network import Answer, MemoryNetwork, MemoryNetworkParams, support_loss
from jaxrnn.models.output_to_hidden import OutputToHidden
from jaxrnn.models.patterns import ManyToMany, ManyToOne, PatternParams, last_valid
from jaxrnn.models.seq2seq import Encoded, Seq2Seq, Seq2SeqParams
from jaxrnn.models.structure import SequenceClassifier, StructureParams, TreeClassifier
from jaxrnn.models.symbols import SymbolModel, SymbolModelParams
from jaxrnn.multidirectional import Cell2D, Multidirectional, unroll_2d, unroll_2d_python
from jaxrnn.newton import newton, unroll_newton
from jaxrnn.newton_sharded import newton_sharded, unroll_newton_sharded
from jaxrnn.online.eprop import CutProducts, EProp
from jaxrnn.online.influence import OnlineRun, OnlineState, OnlineStep, run_online
from jaxrnn.online.rtrl import RTRL
from jaxrnn.online.snap import SnAp
from jaxrnn.online.uoro import UORO
from jaxrnn.readout import Readout, ReadoutParams
from jaxrnn.regularizers import Flow, loss_and_flow, omega, omega_terms, pascanu_omega, pascanu_omega_terms
from jaxrnn.ridge import Equations, add_equations, no_equations, ridge, solve
from jaxrnn.sampling import Greedy, Sampling, keep_top_k, keep_top_p, with_temperature
from jaxrnn.scores import additive_score, dot_score, location_windows, masked_softmax, scaled_dot_score
from jaxrnn.sensitivity import hidden_gradients, jacobian_product, memory_length, step_jacobians
from jaxrnn.sharded import linear_recurrence_sharded, unroll_sharded
from jaxrnn.stopping import Countdown, EndSymbol, PredictedLength, StopRule, StopUnit, log_likelihood
from jaxrnn.streaming import unroll_loss
from jaxrnn.teacher_forcing import FeedbackCell, scheduled_sampling, teacher_forced
from jaxrnn.timescales import UpdateEveryState, alphas, bound_alphas, update_every
from jaxrnn.trajectory import Trajectory, trajectory
from jaxrnn.trees import Tree, TreeError, balanced_tree, right_comb
from jaxrnn.trees_from import tree_from, tree_from_ast, tree_from_bracketed, tree_from_nested, tree_from_parents
from jaxrnn.truncated import TruncatedBPTT, TruncatedState, unroll_truncated
from jaxrnn.types import Cell, LocalRules
from jaxrnn.unroll import mask_from_lengths, unroll, unroll_python
from jaxrnn.unroll_layers import unroll_layers
from jaxrnn.unroll_tree import root_outputs, unroll_tree, unroll_tree_python
from jaxrnn.updates import Convergence, Newton
from jaxrnn.washout import washout_mask

__version__ = "0.1.0"

__all__ = [
    "ESN",
    "GRU",
    "LIF",
    "LRU",
    "LSTM",
    "LSTM2D",
    "NTM",
    "PADDING",
    "RTRL",
    "UORO",
    "Advice",
    "Algebra",
    "Answer",
    "Attending",
    "AttendingCarry",
    "AttendingParams",
    "Attention",
    "AttentionParams",
    "AutodiffRules",
    "Beams",
    "Bidirectional",
    "Captioner",
    "CaptionerCarry",
    "CaptionerParams",
    "Cell",
    "Cell2D",
    "ChildSumTreeLSTM",
    "ClippingBias",
    "ClippingState",
    "Clockwork",
    "ClockworkCarry",
    "ComplexPair",
    "Convergence",
    "Countdown",
    "CutProducts",
    "DeepInput",
    "DeepOutput",
    "DeepParams",
    "DeepTransition",
    "Delays",
    "DelaysCarry",
    "DelaysParams",
    "Diagnosis",
    "Directions",
    "DrawsNoise",
    "Dropout",
    "EProp",
    "Elman",
    "Elman2D",
    "Elman2DParams",
    "ElmanParams",
    "Encoded",
    "EndSymbol",
    "Equations",
    "EveryLayer",
    "ExpectedZoneout",
    "FeedForward",
    "FeedForwardParams",
    "Feedback",
    "FeedbackCarry",
    "FeedbackCell",
    "FeedbackParams",
    "FixedPoints",
    "Flow",
    "Forest",
    "ForestShape",
    "GRUParams",
    "Generator",
    "Gradients",
    "Greedy",
    "Growth",
    "Jordan",
    "JordanParams",
    "LIFCarry",
    "LIFParams",
    "LRUParams",
    "LSTM2DParams",
    "LSTMCarry",
    "LSTMParams",
    "LayerNorm",
    "LayerNormParams",
    "Leaky",
    "LeakyParams",
    "LinearCell",
    "LinearUnit",
    "LinearUnitParams",
    "LocalRules",
    "ManyToMany",
    "ManyToOne",
    "Memory",
    "MemoryNetwork",
    "MemoryNetworkParams",
    "MinGRU",
    "MinGRUParams",
    "MinLSTM",
    "MinLSTMParams",
    "Multidirectional",
    "NTMCarry",
    "NTMParams",
    "NaryTreeLSTM",
    "NaryTreeLSTMParams",
    "Newton",
    "Nodes",
    "Noisy",
    "OnlineRun",
    "OnlineState",
    "OnlineStep",
    "OutputToHidden",
    "PatternParams",
    "PredictedLength",
    "Reading",
    "Readout",
    "ReadoutParams",
    "Reservoir",
    "ReservoirParams",
    "Sampling",
    "Seq2Seq",
    "Seq2SeqParams",
    "SequenceClassifier",
    "Sequences",
    "SnAp",
    "Stack",
    "StateNoise",
    "StopRule",
    "StopUnit",
    "StructureParams",
    "SymbolModel",
    "SymbolModelParams",
    "Tracker",
    "Trajectory",
    "Tree",
    "TreeAutodiffRules",
    "TreeCell",
    "TreeClassifier",
    "TreeElman",
    "TreeElmanParams",
    "TreeError",
    "TreeLocalRules",
    "TruncatedBPTT",
    "TruncatedState",
    "UpdateEveryState",
    "Zoneout",
    "add_equations",
    "additive_score",
    "alphas",
    "attend",
    "balanced_tree",
    "beam_search",
    "bernoulli",
    "bits_per_character",
    "bound_alphas",
    "bptt",
    "choose_method",
    "clip_by_norm",
    "clip_by_value",
    "clipping_bias",
    "cross_entropy",
    "departure_from_normality",
    "diagnose",
    "dot_score",
    "fixed_points",
    "forced_outputs",
    "forgetting_rate",
    "greedy",
    "growth",
    "head_positions",
    "hidden_gradients",
    "intrinsic_plasticity",
    "jacobian_product",
    "keep_top_k",
    "keep_top_p",
    "last_valid",
    "linear_recurrence",
    "linear_recurrence_sharded",
    "location_windows",
    "log_likelihood",
    "loss_and_flow",
    "lyapunov_spectrum",
    "mask_from_lengths",
    "masked_softmax",
    "memory_capacity",
    "memory_length",
    "newton",
    "newton_sharded",
    "no_equations",
    "node_values",
    "omega",
    "omega_terms",
    "pack",
    "pascanu_omega",
    "pascanu_omega_terms",
    "perplexity",
    "product_variance",
    "quiet",
    "random_step",
    "recurrent_matrix",
    "ridge",
    "right_comb",
    "root_outputs",
    "run_online",
    "sample",
    "sample_products",
    "sample_scan",
    "scaled_dot_score",
    "scheduled_sampling",
    "sequence_log_probability",
    "solve",
    "spectral_radius",
    "squared_error",
    "step_jacobians",
    "support_loss",
    "symmetric_power",
    "teacher_forced",
    "track",
    "tracker",
    "trajectory",
    "tree_from",
    "tree_from_ast",
    "tree_from_bracketed",
    "tree_from_nested",
    "tree_from_parents",
    "unroll",
    "unroll_2d",
    "unroll_2d_python",
    "unroll_associative",
    "unroll_bptt",
    "unroll_checkpointed",
    "unroll_fused",
    "unroll_layers",
    "unroll_loss",
    "unroll_newton",
    "unroll_newton_sharded",
    "unroll_python",
    "unroll_sharded",
    "unroll_tree",
    "unroll_tree_bpts",
    "unroll_tree_python",
    "unroll_truncated",
    "update_every",
    "washout_mask",
    "weight_variance",
    "with_noise",
    "with_spectral_radius",
    "with_temperature",
]
