"""What is asked, parsed once into frozen types.

options     one table of options, for click, argparse, the environment and the documentation
numbers     number words: 25, 25%, 0.25%, 20k, 1e6, 1000/s, 1m30s
addresses   base URLs, paths, headers, addresses by name
question    the options that say what is expected, and how surely → Limits → Question
load        the options that say what is sent, and how → LoadSettings
verify      all of a verification → VerifySettings, and back from the file that a child reads
commands    the options of the other commands → a frozen type each
"""
