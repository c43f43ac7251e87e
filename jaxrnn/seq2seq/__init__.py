"""seq2seq."""

from jaxrnn.seq2seq.attending import Attending, AttendingCarry, AttendingParams
from jaxrnn.seq2seq.attention import Attention, AttentionParams, Memory, Reading
from jaxrnn.seq2seq.encoder_decoder import Encoded, Seq2Seq, Seq2SeqParams
from jaxrnn.seq2seq.nested_attention import attend
from jaxrnn.seq2seq.scores import additive_score, dot_score, location_windows, masked_softmax, scaled_dot_score

__all__ = [
    "Attending",
    "AttendingCarry",
    "AttendingParams",
    "Attention",
    "AttentionParams",
    "Encoded",
    "Memory",
    "Reading",
    "Seq2Seq",
    "Seq2SeqParams",
    "additive_score",
    "attend",
    "dot_score",
    "location_windows",
    "masked_softmax",
    "scaled_dot_score",
]
