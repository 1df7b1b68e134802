"""Topics over shared memory: the newest record of each stream, in every process, without a broker.

`SharedBus` joins processes through iceoryx2 (lock-free, zero-copy shared memory); `LocalBus` joins the parts of one
process, for lockstep and tests. Both keep the same promises:

- A subscriber that falls more than `topic.depth` records behind loses the oldest; a publisher never waits.
- A subscriber that joins late finds the newest record of each living publisher, within `ADOPTION` seconds.
- A topic has one layout. Opening it with another is a SpecError for the one that comes second.
- Received records are read-only copies: they stay as they are for as long as they are kept.

One thread at a time uses a publisher or a subscriber; threads that want the same topic take a subscriber each.
"""

from robot_stack.bus.local import LocalBus
from robot_stack.bus.protocol import Bus, BusError, Publisher, Subscriber
from robot_stack.bus.shared import ADOPTION, MAX_PUBLISHERS, MAX_SUBSCRIBERS, SharedBus, clean_dead_nodes

__all__ = [
    "ADOPTION",
    "MAX_PUBLISHERS",
    "MAX_SUBSCRIBERS",
    "Bus",
    "BusError",
    "LocalBus",
    "Publisher",
    "SharedBus",
    "Subscriber",
    "clean_dead_nodes",
]
