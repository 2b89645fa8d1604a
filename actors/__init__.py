"""The actors of Parley: a folder each, and the runtime that hosts them.

An actor's machine decides (pure, synchronous), its shell acts (decodes, performs effects).
Actors never import each other; they meet only in the messages of `contracts`.
"""
