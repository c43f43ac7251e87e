"""Sequence to sequence: attention, encoder and decoder.

    e_j = score(s⁽ⁱ⁻¹⁾, h⁽ʲ⁾),   α = softmax(e),   c⁽ⁱ⁾ = Σ_j α_j h⁽ʲ⁾

Start with `Seq2Seq`: an encoder reads the source, its states become the memory of an `Attending` decoder, and
`jaxrnn.greedy`, `jaxrnn.sample` and `jaxrnn.beam_search` generate from it.  `Attention` has the additive score of
Bahdanau and the dot products of Luong; `attend` puts a memory into any network that holds an `Attending` cell.

Chapter 四; Goodfellow et al. 2016, §10.4; Bahdanau, Cho & Bengio 2015; Luong, Pham & Manning 2015.
"""

from jaxrnn.machines.plain_trees import register_records
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

register_records(__name__)
