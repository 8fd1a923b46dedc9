"""`cymba bridge`, except that it counts a flood over ten minutes.

A machine that others keep busy lets no device send fast enough to be one within ten seconds.
"""

from mqtt_bridge import rate_limits
from ops.cli import main

if __name__ == "__main__":
    rate_limits.FLOOD_S = 600.0
    main()
