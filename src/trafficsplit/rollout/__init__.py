"""A release: its weights are set step by step, awaited, and verified; or set back.

state            the state of a release, written before each act
time_to_effect   how long it takes until new weights are in force
walk             the steps, and the way back
timeline         rollout.html
"""
