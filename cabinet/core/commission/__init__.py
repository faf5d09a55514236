"""What commissioning decides: what to ask of an unknown wire, what an answer means, what to do next.

Pure: bytes, readings and times go in, plans, findings and texts come out.
"""
