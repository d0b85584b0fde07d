"""The command line: one file a command."""

from importlib.metadata import version

__version__ = version("trafficsplit")
