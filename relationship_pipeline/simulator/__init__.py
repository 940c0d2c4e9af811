"""A Microsoft Graph simulator and the seeded tenant under it.

What belongs here: a deterministic company (people, groups, mail, meetings, CRM rows), the shapes in which Microsoft
Graph and Graph Data Connect give them out, and an HTTPS service that behaves as Graph is documented to behave, faults
included. What does not: anything of the pipeline. This package imports nothing of the rest of `relationship_pipeline`,
so that a mistake cannot be made twice, once on each side of the wire.
"""
