"""Writing text with any backbone, through its contract alone.

generate, stream   token by token: greedy, temperature, top-k, nucleus   (sampling)
beam_search        the likeliest text that a search of some width finds  (beam)
Special            the ids that begin, end, pad and mask a text          (text)

Prompts are batches whose rows may differ in length: what `keep` leaves out, on whichever side, is as
good as absent, and a row is continued as it would be alone.
"""

from archs.decoding.beam import beam_search
from archs.decoding.sampling import choose, generate, stream
from archs.decoding.text import Generated, Special

__all__ = ["Generated", "Special", "beam_search", "choose", "generate", "stream"]
