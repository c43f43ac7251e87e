"""Gradients that are computed forwards, step by step, without a way back."""

from jaxrnn.online.eprop import CutProducts, EProp
from jaxrnn.online.influence import OnlineRun, OnlineState, OnlineStep, run_online
from jaxrnn.online.rtrl import RTRL
from jaxrnn.online.snap import SnAp
from jaxrnn.online.uoro import UORO

__all__ = ["RTRL", "UORO", "CutProducts", "EProp", "OnlineRun", "OnlineState", "OnlineStep", "SnAp", "run_online"]
