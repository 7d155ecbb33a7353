"""Python imports this as it starts: processes that tests start anew look for garbage as seldom as commands do.

By default they would do it a thousand times while they import, which takes a quarter of their time.
"""

import gc

gc.set_threshold(20_000)
