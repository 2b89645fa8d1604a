"""What a chat of many windows remembers: the same script in each kind of memory.

`script` is what the user types, `talk` types it, `tap` sees the prompts, `outcome` counts, `cli`
is `parley bench memory` and `parley bench retrieval`.
"""
