"""Operations: the command line, settings, the composition root, and what runs the parts.

The only package that imports adapters and wires them to the actors and the edge.
"""
