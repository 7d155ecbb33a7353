"""A program that is given as text, as `python -c` runs it, for `tests.warm`, whose forks begin with a module."""

import sys

exec(compile(sys.argv.pop(1), "<script>", "exec"), {"__name__": "__main__"})
