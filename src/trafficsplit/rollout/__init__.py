"""A release, walked through its weights: set, seen coming into force, verified; or back.

state            where a release is, in a file before each thing that is done
time_to_effect   when new weights came into force, seen by requests that go on meanwhile
walk             the steps, and the way back
timeline         rollout.html
"""
