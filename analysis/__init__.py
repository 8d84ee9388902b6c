"""What reads run folders: plot, evaluate, compare, status."""

import logging

# Where it cannot write its settings' folder it takes a temporary one, which is nothing to warn of at every picture.
logging.getLogger("matplotlib").setLevel(logging.ERROR)
