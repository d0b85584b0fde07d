"""The settings of commands, parsed once into frozen types.

options     one table of options, for click, argparse, the environment and the documentation
numbers     numbers as people type them: 25, 25%, 0.25%, 20k, 1e6, 1000/s, 1m30s
addresses   base URLs, paths, headers, addresses by name
question    the options about the expected split → Limits → Question
load        the options about requests and clients → LoadSettings
verify      all settings of a verification → VerifySettings, also from the file that a child reads
commands    the options of the other commands → a frozen type each
"""
